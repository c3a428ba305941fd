"""A frame is JSON that can be stored and read back, or it is refused."""

import json

import msgspec
import pytest

from realtime.errors import InvalidFrameError, InvalidJsonError, InvalidTextError
from realtime.json_input import clean_text, command, parse_json, ref_of


class Say(msgspec.Struct):
    message: str
    times: int = 1


def test_object_is_parsed() -> None:
    assert parse_json('{"message":"Bonjour","ref":7}') == {"message": "Bonjour", "ref": 7}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "7",
        '"text"',
        "[1]",
        "{",
        '{"a":1}x',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":1e400}',
        '{"a":' + "9" * 5000 + "}",
        '{"a":"\\ud800"}',
        '{"a":"\ud800"}',
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        '{"a":' * 33 + "1" + "}" * 33,
        "{'a':1}",
        b"\xff\xfe",
    ],
)
def test_text_that_is_no_safe_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidJsonError):
        parse_json(text)


def test_depth_is_measured_not_guessed() -> None:
    flat = '{"a":"' + "[{" * 100 + '"}'
    deep = '{"a":' * 32 + "1" + "}" * 32

    assert parse_json(flat) == json.loads(flat)
    assert parse_json(deep) == json.loads(deep)


def test_command_becomes_an_instance_of_its_class() -> None:
    assert command({"message": "Bonjour", "other": 1}, Say) == Say("Bonjour", 1)


@pytest.mark.parametrize("frame", [{}, {"message": 7}, {"message": None}, {"message": "x", "times": "2"}])
def test_command_that_does_not_fit_is_refused_by_name(frame: dict[str, object]) -> None:
    with pytest.raises(InvalidFrameError, match="The frame is not valid"):
        command(frame, Say)


@pytest.mark.parametrize("ref", [7, 0, -1, "a", "x" * 64, 2**53 - 1])
def test_ref_is_given_back(ref: int | str) -> None:
    assert ref_of({"ref": ref}) == ref


@pytest.mark.parametrize("frame", [{}, {"ref": None}])
def test_command_may_have_no_ref(frame: dict[str, object]) -> None:
    assert ref_of(frame) is None


@pytest.mark.parametrize("ref", [True, 1.5, [], {}, "x" * 65, 2**53, "a\x00", "\ud800"])
def test_ref_that_cannot_be_given_back_is_refused_by_name(ref: object) -> None:
    with pytest.raises(InvalidFrameError, match="The ref is neither"):
        ref_of({"ref": ref})


@pytest.mark.parametrize("text", ["Bonjour", "", "a\tb\nc\r\n", "😀 שלום", "\u2028", "x" * 10])
def test_text_is_kept_as_it_is(text: str) -> None:
    assert clean_text(text, max_length=20) == text


@pytest.mark.parametrize("text", ["\x00", "a\x1b[31m", "\x7f", "\ud800", "x" * 21])
def test_text_that_cannot_be_read_back_is_refused(text: str) -> None:
    with pytest.raises(InvalidTextError):
        clean_text(text, max_length=20)


@pytest.mark.parametrize("value", [None, 7, ["x"], b"x"])
def test_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidFrameError):
        clean_text(value, max_length=20)
