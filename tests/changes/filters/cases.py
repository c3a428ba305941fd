"""What each operator says of values and of NULL: `docs/filters.md`, case by case."""

from decimal import Decimal
from uuid import UUID

#: A field of an article, an operator, a value, values that match, values that do not. None is NULL, and is on
#: one side in each.
CASES = [
    ("id", "_eq", 2, [2], [1, None]),
    ("id", "_neq", 2, [1], [2, None]),
    ("id", "_lt", 2, [1], [2, 3, None]),
    ("id", "_lte", 2, [1, 2], [3, None]),
    ("id", "_gt", 2, [3], [2, 1, None]),
    ("id", "_gte", 2, [2, 3], [1, None]),
    ("id", "_in", [1, 2], [1, 2], [3, None]),
    ("id", "_nin", [1, 2], [3], [1, 2, None]),
    ("id", "_between", [1, 2], [1, 2], [0, 3, None]),
    ("id", "_between", [2, 1], [], [1, 2, None]),
    ("id", "_nbetween", [1, 2], [0, 3], [1, 2, None]),
    ("title", "_null", True, [None], ["", "a"]),
    ("title", "_null", False, ["", "a"], [None]),
    ("title", "_nnull", True, ["", "a"], [None]),
    ("title", "_empty", True, [None, ""], [" ", "a"]),
    ("title", "_empty", False, [" ", "a"], [None, ""]),
    ("title", "_nempty", True, [" ", "a"], [None, ""]),
    ("title", "_contains", "Été", ["Été", "L'Été"], ["été", "Ete", "", None]),
    ("title", "_contains", "Ab%", ["xAb%"], ["xab%", "Abx", None]),
    ("title", "_ncontains", "Été", ["été", ""], ["Été", None]),
    ("title", "_starts_with", "Ab", ["Abc"], ["abc", "xAb", None]),
    ("title", "_nstarts_with", "Ab", ["abc", ""], ["Abc", None]),
    ("title", "_ends_with", "%_", ["50%_"], ["50%x", None]),
    ("title", "_nends_with", "%_", ["50%x", ""], ["50%_", None]),
    ("title", "_ieq", "Σάß", ["σάß", "ΣΆẞ"], ["ςάß", "Σάss", None]),
    ("title", "_nieq", "a", ["b", ""], ["A", None]),
    ("title", "_icontains", "ÉTÉ", ["un été", "UN ÉTÉ"], ["ete", None]),
    ("title", "_nicontains", "ÉTÉ", ["ete", ""], ["un été", None]),
    ("title", "_istarts_with", "k", ["Kilo", "kilo"], ["\u212a", None]),
    ("title", "_nistarts_with", "k", ["\u212a", ""], ["Kilo", None]),
    ("title", "_iends_with", "Я", ["моя", "МОЯ"], ["я!", None]),
    ("title", "_niends_with", "Я", ["я!", ""], ["МОЯ", None]),
    ("price", "_eq", "0.10", [Decimal("0.1")], [Decimal("0.1000001"), None]),
    ("is_open", "_eq", "true", [True], [False, None]),
    ("token", "_in", [str(UUID(int=1))], [UUID(int=1)], [UUID(int=2), None]),
]
