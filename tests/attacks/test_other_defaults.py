"""Other REST framework defaults in a project do not open our views: each says itself what holds for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from rest_framework.views import APIView

from directus.rest import errors as directus_errors
from directus.rest.views import DirectusView
from realtime.http.throttling import exception_handler
from tests.attacks import other_defaults, surface
from tests.attacks.conftest import Tenant
from tests.attacks.matrix import HTTP

ROOT = Path(__file__).resolve().parents[2]
POLICIES = (
    "authentication_classes",
    "permission_classes",
    "throttle_classes",
    "parser_classes",
    "renderer_classes",
    "content_negotiation_class",
    "metadata_class",
)
#: The tests that are run again with the other defaults: these two, and the matrix.
AGAIN = (
    "tests/attacks/test_other_defaults.py::test_view_names_what_holds_for_it",
    "tests/attacks/test_other_defaults.py::test_cookie_and_basic_open_nothing",
    "tests/attacks/test_tenants.py::test_everybody_is_answered_as_the_matrix_says",
)


# One stack is enough: the suite that it starts makes databases of its own, and the test is about views.
@pytest.mark.acceptance
@pytest.mark.stack("small")
@pytest.mark.timeout(300)
def test_nothing_opens_under_other_defaults():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *AGAIN],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": other_defaults.__name__},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{len(HTTP) + len(surface.views()) + 1} passed" in done.stdout


@pytest.mark.parametrize("route", surface.views())
def test_view_names_what_holds_for_it(route):
    """A view that names nothing takes what the framework has read from the settings."""
    view = surface.views()[route]
    ours = view.__mro__[: view.__mro__.index(APIView)]
    taken_over = [name for name in POLICIES if not any(name in vars(kind) for kind in ours)]

    assert taken_over == []
    assert view().get_exception_handler() is (
        directus_errors.exception_handler if issubclass(view, DirectusView) else exception_handler
    )


def test_cookie_and_basic_open_nothing(tenant: Tenant):
    superuser = tenant.people["superuser"]
    superuser.set_password("demo-password")
    superuser.save()
    client = Client(raise_request_exception=False)
    client.force_login(superuser)
    basic = {"authorization": "Basic c3VwZXJ1c2VyOmRlbW8tcGFzc3dvcmQ="}

    opened = {}
    for endpoint in surface.endpoints():
        path = surface.filled(endpoint.route, tenant.ids)
        answer = client.generic(endpoint.method, path, headers=basic)
        if not endpoint.is_public and answer.status_code not in (401, 403):
            opened[str(endpoint)] = answer.status_code

    assert opened == {}
