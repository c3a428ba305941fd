"""The base of the views that ask for an access token."""

from __future__ import annotations

from rest_framework.permissions import IsAuthenticated

from accounts.authentication import BearerAuthentication
from realtime import PublicView


# A comment, because a docstring would be the description of each operation in the OpenAPI document.
class ApiView(PublicView):
    # The base of views for signed-in users.

    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]
