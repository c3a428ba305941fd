"""Clients of REST: one without a token, and ones that are signed in."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import User


@pytest.fixture
def stranger() -> APIClient:
    """A client that is not signed in; like a browser, it keeps cookies."""
    return APIClient()


@pytest.fixture
def signed_in() -> Callable[[User], APIClient]:
    """`signed_in(ana)`: a client with an access token in its header."""

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.access_token(user)}")
        return client

    return sign_in
