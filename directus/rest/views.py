"""The base of the views: JSON in and out, whatever a client accepts, and failures in one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from directus.errors import MethodNotAllowedError, RouteNotFoundError
from directus.rest.authentication import CredentialAuthentication
from directus.rest.errors import MEDIA_TYPE, body_of, exception_handler
from realtime import PublicView

#: Characters of a path that are repeated to whoever asked for it.
SHOWN_PATH = 200


class AlwaysJson(DefaultContentNegotiation):
    """Answers with JSON to every wish: clients send `Accept: */*`, or what their HTTP library likes."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        sent = request.content_type.partition(";")[0].strip().lower()
        return next((each for each in parsers if each.media_type == sent), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), MEDIA_TYPE


class DirectusView(PublicView):
    """Base of the views; a request may bring any token of the dialect, or none."""

    authentication_classes = [CredentialAuthentication]
    content_negotiation_class = AlwaysJson
    http_method_names = ["get", "post", "patch", "delete", "head", "options", "search"]
    schema = None  # our OpenAPI document is about our own API

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse an unknown method before anything else: it is wrong whoever asks."""
        if request.method not in self.allowed_methods:
            raise MethodNotAllowedError(allowed=self.allowed_methods, current=request.method)
        super().initial(request, *args, **kwargs)

    def check_permissions(self, request: Request) -> None:
        """Tell the methods of a path to everybody."""
        if request.method != "OPTIONS":
            super().check_permissions(request)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer with the header `Allow`, as every answer has it."""
        return Response(status=204)


class UserView(DirectusView):
    """Base of the views that are for users."""

    permission_classes = [IsAuthenticated]


class OpenView(DirectusView):
    """Base of the views that ignore tokens: a client that signs in may still send an old one."""

    authentication_classes = []


def body(request: Request) -> dict[str, Any]:
    """The members of a body; none where there is no body."""
    return cast("dict[str, Any]", request.data)  # the parser refuses what is no object


def shown(data: Any) -> Response:
    """An answer with content."""
    return Response({"data": data})


def nothing() -> Response:
    """An answer without content: 204, with neither a body nor a Content-Type."""
    return Response(status=204)


@csrf_exempt
def no_such_route(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """Answer 404 to an unknown path below the first words of the dialect."""
    status, told = body_of(RouteNotFoundError(request.path[:SHOWN_PATH]))
    answer = JsonResponse(told, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
