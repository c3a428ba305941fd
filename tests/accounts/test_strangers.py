"""The cost of strangers' passwords on a real server that hashes as the product does."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.factories import PASSWORD
from tests.processes import wait_until
from tests.servers import ServerProcess, manage

ATTEMPTS = 60
#: Much less memory than two hashes with Django's own parameters take, and less than four of ours.
MARK_BYTES = 150 * 1024 * 1024
ROOM = {"LIMIT_PASSWORDS_WAITING_PER_ADDRESS": "4", "LIMIT_PASSWORDS_WAITING": "8"}

#: Accounts of the version before: checking their hash takes 100 MiB until it is renewed.
OLD_ACCOUNTS = """
from django.contrib.auth.hashers import Argon2PasswordHasher
from accounts.models import User
hasher = Argon2PasswordHasher()
stored = hasher.encode({password!r}, hasher.salt())
User.objects.bulk_create(User(username=f"old-{{n}}", password=stored) for n in range({count}))
"""


class Answer(NamedTuple):
    status: int
    code: str | None
    retry_after: str | None


@pytest.fixture(params=["daphne", "uvicorn"])
def guarded(request, new_backends) -> Iterator[ServerProcess]:
    backends = new_backends()
    manage(
        "shell",
        "-c",
        OLD_ACCOUNTS.format(password=PASSWORD, count=ATTEMPTS),
        database_url=backends.database_url,
    )
    with ServerProcess(request.param, **vars(backends), env=ROOM) as server:
        yield server


def sign_in(
    server: ServerProcess, name: str, password: str, address: str, *, token: str | None = None
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(address, 0))
    try:
        body = json.dumps({"username": name, "password": password})
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection.request("POST", "/api/token/", body, headers)
        response = connection.getresponse()
        told = json.loads(response.read())
        return Answer(response.status, told.get("code"), response.headers.get("Retry-After"))
    finally:
        connection.close()


def memory(server: ServerProcess, what: str) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024


@pytest.mark.parametrize("has_token", [True, False], ids=["with a token", "without"])
def test_strangers_who_sign_in_at_once_cost_one_hash_and_lock_nobody_out(
    guarded: ServerProcess, has_token: bool
) -> None:
    """With a token of their own account they do not wait with other strangers before they sign in."""
    token = manage("token", "old-1", database_url=guarded.database_url).strip() if has_token else None
    assert sign_in(guarded, "nobody", "warms up", "127.0.0.4").status == 401
    peak, resident = memory(guarded, "VmHWM"), memory(guarded, "VmRSS")

    with ThreadPoolExecutor(ATTEMPTS + 1) as crowd:
        names = [f"old-{n}" if n % 2 else f"nobody-{n}" for n in range(ATTEMPTS)]
        strangers = [
            crowd.submit(sign_in, guarded, name, "a-guess", "127.0.0.2", token=token) for name in names
        ]
        member = crowd.submit(sign_in, guarded, "old-0", PASSWORD, "127.0.0.3")

        assert member.result().status == 200
        answers = [stranger.result() for stranger in strangers]

    assert memory(guarded, "VmHWM") - peak < MARK_BYTES
    checked = [answer for answer in answers if answer.status == 401]
    refused = [answer for answer in answers if answer.status == 503]
    assert len(checked) + len(refused) == ATTEMPTS
    assert checked
    codes = {answer.code for answer in refused}
    assert "overloaded" in codes or not has_token
    # On PostgreSQL some of sixty simultaneous requests may also wait in vain for one of twenty connections.
    assert codes <= {"overloaded", "unavailable"}
    assert all(int(answer.retry_after or 0) >= 1 for answer in refused)
    # The memory of a hash has gone back to the system.
    wait_until(
        lambda: memory(guarded, "VmRSS") - resident < MARK_BYTES / 3, seconds=5, what="memory is given back"
    )
