"""The base of every view of the API: how it reads and answers, and how often it may be asked.

It states everything and reads nothing from REST_FRAMEWORK: the other defaults that a project may have there
would open our views, or change them. A view that differs says in what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime.http.parsers import JsonParser
from realtime.http.throttling import RestThrottle, exception_handler


# A comment, because a docstring would be the description of each operation in the OpenAPI document.
class PublicView(APIView):
    # For everybody, signed in or not: a stale token in the header does not stand in the way.

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [RestThrottle]
    parser_classes = [JsonParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation
    metadata_class = SimpleMetadata
    versioning_class = None

    def get_exception_handler(self) -> Callable[..., Any]:
        """Errors are problem documents, whatever the project chose for its own views."""
        return exception_handler

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Let nobody store an answer unless the view says so: it is about one person, and often a secret."""
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)
