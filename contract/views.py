"""The contract over HTTP: /api/asyncapi.json is the document, /api/asyncapi/ a page to read it."""

from __future__ import annotations

import re

from django.template.loader import render_to_string
from django.urls import reverse
from rest_framework.renderers import BaseRenderer, JSONRenderer, StaticHTMLRenderer

from contract import asyncapi
from contract.page import contents
from realtime import Document, DocumentView, hash_for_policy


class AsyncApiView(DocumentView):
    """The AsyncAPI document."""

    renderer_classes = [JSONRenderer]

    @staticmethod
    def make(renderer: BaseRenderer) -> Document:
        return Document(renderer.render(asyncapi.document()))


class AsyncApiPageView(DocumentView):
    """The document as a page for people: without a script, and with nothing from other servers."""

    renderer_classes = [StaticHTMLRenderer]

    @staticmethod
    def make(_renderer: BaseRenderer) -> Document:
        page = render_to_string(
            "contract/asyncapi.html",
            {
                **contents(asyncapi.document()),
                "document": reverse("asyncapi"),
                "rest": reverse("docs"),
            },
        )
        [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        policy = (
            f"default-src 'none'; style-src {hash_for_policy(style)}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return Document(page, {"Content-Security-Policy": policy})
