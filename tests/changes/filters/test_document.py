"""`docs/filters.md` lists the operators that there are, with the columns that take them."""

import re
from pathlib import Path

from changes.filters import OPERATORS, Kind, Problem
from changes.filters.conditions import Part
from changes.filters.variables import _UNIT_OF

PAGE = (Path(__file__).parents[3] / "docs/filters.md").read_text()


def rows(heading):
    """The cells of the first table below a heading, without its head."""
    table = re.search(r"(?:^\|.*\n)+", PAGE.partition(f"## {heading}\n")[2], re.MULTILINE)[0]
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]


def test_operators_and_their_columns_are_listed():
    listed = {}
    for names, _, columns in rows("Operators"):
        kinds = set(Kind) if columns == "all" else {Kind(name) for name in columns.split(", ")}
        listed.update(dict.fromkeys(re.findall(r"`(\w+)`", names), kinds))

    assert listed == {name: set(operator.kinds) for name, operator in OPERATORS.items()}


def test_problems_are_listed():
    assert [cells[0].strip("`") for cells in rows("Limits and errors")] == list(Problem)


def test_functions_and_units_are_named():
    functions = PAGE.partition("**Functions**")[2].partition("\n\n")[0]

    assert [part for part in Part if f"`{part}`" not in functions] == []
    assert [unit for unit in set(_UNIT_OF.values()) if f"`{unit}`" not in PAGE] == []
