"""The documents of the API: /api/ lists its paths, /api/schema/ is OpenAPI, /api/docs/ a page to try it.

Each is made once per process and form, and is the same for everybody, whatever a query or a header asks for:
putting the OpenAPI document together takes as long as hundreds of answers, and anybody may ask for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.utils.encoding import force_bytes
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer, StaticHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from realtime.http.views import PublicView

#: A document changes only with a release; a client that has one asks again after five minutes, by its ETag.
CACHE_CONTROL = "public, max-age=300"


@dataclass(frozen=True)
class Document:
    """A finished document: its body, and the headers that it needs."""

    content: bytes | str
    headers: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def etag(self) -> str:
        """The document's version for HTTP caches: a hash of its content."""
        return f'"{hashlib.sha256(force_bytes(self.content)).hexdigest()[:32]}"'


class DocumentView(PublicView):
    """Base of the views that answer with a document, which is made when somebody first asks for it."""

    _making: ClassVar[threading.Lock] = threading.Lock()
    _made: ClassVar[dict[tuple[type, type], Document]] = {}

    @staticmethod
    def make(renderer: BaseRenderer) -> Document:
        """Make the document in the form of `renderer`, which a client accepts."""
        raise NotImplementedError

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        renderer = request.accepted_renderer
        document = self._document(renderer)
        answer = get_conditional_response(request, etag=document.etag)
        if answer is None:
            kind = f"{renderer.media_type}; charset=utf-8"
            answer = HttpResponse(document.content, content_type=kind, headers=document.headers)
        answer.headers["ETag"] = document.etag
        answer.headers["Cache-Control"] = CACHE_CONTROL
        return answer

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Answer 204; the headers name the methods."""
        return Response(status=204)

    def _document(self, renderer: BaseRenderer) -> Document:
        key = type(self), type(renderer)
        with self._making:  # requests that come together must not each make it
            if key not in self._made:
                with translation.override(settings.LANGUAGE_CODE):
                    self._made[key] = self.make(renderer)
            return self._made[key]


class SchemaView(DocumentView):
    """The OpenAPI document, as YAML or as JSON."""

    renderer_classes = [OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2]

    @staticmethod
    def make(renderer: BaseRenderer) -> Document:
        # Spectacular's own JSON is twice as long, by white space.
        written = renderer if renderer.format == "yaml" else JSONRenderer()
        schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        content = written.render(schema, renderer_context={})
        return Document(content, {"Content-Disposition": f'inline; filename="Relais.{renderer.format}"'})


class DocsView(DocumentView):
    """Swagger UI, from our own static files."""

    renderer_classes = [StaticHTMLRenderer]

    @staticmethod
    def make(_renderer: BaseRenderer) -> Document:
        page = render_to_string(
            "drf_spectacular/swagger_ui.html",
            {
                "title": "Relais",
                "swagger_ui_css": _swagger_ui("swagger-ui.css"),
                "swagger_ui_bundle": _swagger_ui("swagger-ui-bundle.js"),
                "swagger_ui_standalone": _swagger_ui("swagger-ui-standalone-preset.js"),
                "favicon_href": _swagger_ui("favicon-32x32.png"),
                "schema_url": reverse("schema"),
                "settings": json.dumps({"persistAuthorization": False}),
                "schema_auth_names": "[]",
                "template_name_js": "drf_spectacular/swagger_ui.js",
                # The page holds nothing of the request: tokens authenticate the API, not cookies.
                "csrf_header_name": "X-CSRFToken",
                "csrf_token": "",
            },
        )
        return Document(page, {"Content-Security-Policy": _content_security_policy(page)})


def hash_for_policy(text: str) -> str:
    """The hash by which a Content-Security-Policy allows an inline script or style."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _swagger_ui(name: str) -> str:
    """The address of a file of the sidecar package, so that the page works without the internet."""
    return static(f"drf_spectacular_sidecar/swagger-ui-dist/{name}")


def _content_security_policy(page: str) -> str:
    """Allow our own files and the one script of `page`; Swagger UI brings styles and pictures with it."""
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = " ".join(map(hash_for_policy, script))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class IndexView(DocumentView):
    """The index at /api/: the name and the path of every view below it."""

    renderer_classes = [JSONRenderer]

    @staticmethod
    def make(renderer: BaseRenderer) -> Document:
        paths = dict(_named(get_resolver().url_patterns))
        return Document(renderer.render({"name": "Relais", "docs": reverse("docs"), "paths": paths}))


def _named(patterns: Iterable[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, str]]:
    """The name and the path of each view below /api/, with `{…}` in the place of an id."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _named(pattern.url_patterns, route)
        elif route.startswith("/api/") and pattern.name:
            yield pattern.name, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
