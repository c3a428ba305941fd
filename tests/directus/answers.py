"""What answers of the dialect look like, for all tests of it."""

from typing import Any


def code(answer: Any) -> str:
    """The code of a failure, which has the shape that clients read."""
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"errors"}
    for error in body["errors"]:
        assert error.keys() == {"message", "extensions"}
        assert isinstance(error["message"], str)
        assert error["message"]
    found: str = body["errors"][0]["extensions"]["code"]
    return found


def extensions(answer: Any) -> dict[str, Any]:
    """What stands beside the code of a failure."""
    found: dict[str, Any] = answer.json()["errors"][0]["extensions"]
    return {name: value for name, value in found.items() if name != "code"}


def is_nothing(answer: Any) -> bool:
    """Whether it is a 204 with neither a body nor a Content-Type."""
    return answer.status_code == 204 and answer.content == b"" and "Content-Type" not in answer.headers
