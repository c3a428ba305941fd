"""What every view of the API is: who may call it, how it reads and answers, how often, stated here.

A view that left these to REST_FRAMEWORK would be opened by a project that has other defaults. So nothing here
is read from there, and a view that differs says in what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import BearerAuthentication
from accounts.throttling import RestThrottle, exception_handler
from realtime.http.parsers import JsonParser


# Comments, because a docstring would be the description of each operation in the OpenAPI document.
class ApiView(APIView):
    # For those who are signed in.

    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]
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
        """What is answered is about one person, and often a secret: nobody keeps it who was not told to."""
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)


class PublicView(ApiView):
    # For those who are not signed in (yet): a stale token in the header does not stand in the way.

    authentication_classes = []
    permission_classes = [AllowAny]
