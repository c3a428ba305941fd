"""The base class of the API's views: it fixes parsers, renderers, permissions, throttles and error handling.

It states everything and reads nothing from REST_FRAMEWORK: the defaults that a project may have there would
open our views, or change them. A view states only where it differs.
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
    # The base of views for everybody, signed in or not: a stale token in the header is ignored.

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [RestThrottle]
    parser_classes = [JsonParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation
    metadata_class = SimpleMetadata
    versioning_class = None

    def get_exception_handler(self) -> Callable[..., Any]:
        """Answer errors with problem documents, whatever the project chose for its own views."""
        return exception_handler

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Forbid caching unless the view allows it: an answer is about one person, and often a secret."""
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)
