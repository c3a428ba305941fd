"""Data is stored only if every database can hold it and every JSON reader can read it back."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import pytest

from notifications.errors import InvalidDataError
from notifications.payload import MAX_DATA_BYTES, clean_data


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"inner": data}
    return data


class Colour(IntEnum):
    RED = 3


def test_plain_json_comes_back_as_it_was() -> None:
    data = {
        "a": None,
        "b": True,
        "c": 2**53 - 1,
        "d": -1.5,
        "e": "é\n\t😀",
        "f": [1, {"g": []}],
        "h": nested(7),
    }

    assert clean_data(data) == data


def test_python_values_become_plain_json() -> None:
    cleaned = clean_data({"pair": (1, 2), "colour": Colour.RED})

    assert json.dumps(cleaned) == '{"pair": [1, 2], "colour": 3}'


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        2**53,
        -(2**53),
        pytest.param(10**5000, id="5001 digits"),
        "\x00",
        "\ud800",
        "\x1b[31m",
        b"bytes",
        {1, 2},
        object(),
        {1: "number as name"},
        {"\x00": 1},
        ["fine", {"deep": "\udfff"}],
    ],
)
def test_value_that_cannot_be_read_back_is_refused(value: object) -> None:
    with pytest.raises(InvalidDataError):
        clean_data({"value": value})


@pytest.mark.parametrize("data", [None, [], "text", 1, [("a", 1)]])
def test_anything_but_an_object_is_refused(data: object) -> None:
    with pytest.raises(InvalidDataError, match="must be an object"):
        clean_data(data)


def test_depth_is_bounded() -> None:
    assert clean_data(nested(8)) == nested(8)
    with pytest.raises(InvalidDataError, match="nested"):
        clean_data(nested(9))


def test_structure_that_holds_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["self"] = data

    with pytest.raises(InvalidDataError, match="nested"):
        clean_data(data)


def test_size_is_bounded_in_bytes() -> None:
    just_fits = "é" * ((MAX_DATA_BYTES - len('{"t":""}')) // 2)

    assert clean_data({"t": just_fits}) == {"t": just_fits}
    with pytest.raises(InvalidDataError, match="larger"):
        clean_data({"t": just_fits + "é"})
