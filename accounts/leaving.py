"""Export and forgetting of a user: the registries to which each app adds what it stores of a user.

An app registers its parts in its `belongings.py`, which is found like `admin.py`:

    @exported("orders")
    def orders(user: User) -> Iterator[Row]:
        yield from user.orders.values("id", "bought_at").iterator()

    @forgotten("orders lost their buyer's address")
    def addresses(person: Forgetting) -> int:
        return Order.objects.filter(buyer=person.user).update(address="")

What forgets works in short transactions, finds what is left to do by itself, and so can be killed and run
again. The apps on top come first: what they hold may point to what is below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.utils.module_loading import autodiscover_modules

from accounts.models import Forgetting, User

#: Rows of one transaction, and of one chunk that is read: milliseconds, and no more memory than for these.
BATCH = 500

Row = Mapping[str, Any]
Rows = Callable[[User], Iterator[Row]]
Work = Callable[[Forgetting], int]


class Section(NamedTuple):
    """A section of the export: its name, and the function that yields its rows."""

    name: str
    rows: Rows


class Step(NamedTuple):
    """A step of forgetting a user: its function, and the words that report what it did."""

    report: str
    work: Work


_sections: list[Section] = []
_steps: dict[str, list[Step]] = {}


def exported(name: str) -> Callable[[Rows], Rows]:
    """Register a section of the export."""

    def register(rows: Rows) -> Rows:
        _sections.append(Section(name, rows))
        return rows

    return register


def forgotten(report: str) -> Callable[[Work], Work]:
    """Register a step; those of an app are done in the order in which it registered them."""

    def register(work: Work) -> Work:
        _steps.setdefault(work.__module__.partition(".")[0], []).append(Step(report, work))
        return work

    return register


def sections() -> list[Section]:
    """All sections of the export."""
    autodiscover_modules("belongings")
    return list(_sections)


def steps() -> list[Step]:
    """All steps of forgetting a user."""
    autodiscover_modules("belongings")
    return [step for app in reversed(_steps.values()) for step in app]
