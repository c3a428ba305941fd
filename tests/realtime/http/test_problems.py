"""Problem documents: the body of an error, and when its client may come back."""

from __future__ import annotations

import pytest

from realtime.errors import OverloadedError, RealtimeError, UnavailableError
from realtime.http.problems import problem_of, retry_after
from realtime.servers.refusals import CONNECTIONS_PER_ADDRESS


def test_document_says_what_a_socket_would_be_told() -> None:
    assert problem_of(OverloadedError("Not now.", retry_after_ms=2_500)) == {
        "type": "about:blank",
        "title": "Overloaded",
        "status": 503,
        "detail": "Not now.",
        "code": "overloaded",
        "retryable": True,
        "retry_after_ms": 2_500,
    }


@pytest.mark.parametrize("error", [RealtimeError(), UnavailableError()])
def test_document_of_an_error_with_nothing_of_its_own_says_what_its_class_says(error: RealtimeError) -> None:
    document = problem_of(error)

    assert (document["status"], document["code"], document["detail"]) == (
        error.status,
        error.code,
        error.message,
    )
    assert document["retry_after_ms"] is error.retry_after_ms


@pytest.mark.parametrize(
    ("milliseconds", "header"), [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60")]
)
def test_client_is_never_told_to_come_back_too_early(milliseconds: int, header: str) -> None:
    assert retry_after(milliseconds) == header


def test_server_that_refuses_by_itself_says_it_the_same_way() -> None:
    head, _, _body = CONNECTIONS_PER_ADDRESS.answer().partition(b"\r\n\r\n")

    assert b"\r\nRetry-After: 2" in head
