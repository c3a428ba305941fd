"""`manage.py doctor` finds what is wrong with triggers, with what they noted, and with who reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from changes import doctor as examinations
from changes import rights_changed
from changes.registry import Collection
from tests.changes.conftest import IS_SQLITE, run
from tests.doctor.conftest import visit

ON_ITEMS = "" if IS_SQLITE else " ON items"
NOTED = "changes_notedchange"
#: In 2023, and in 2096.
LONG_AGO, LATER = 1_700_000_000_000, 4_000_000_000_000
ALL = ["changes.notes", "changes.numbers", "changes.read", "changes.triggers_installed"]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examinations, "PATIENCE_SECONDS", 0)


def findings() -> list[tuple[str, str, Any]]:
    """Of each finding: the examination, what, and what was found."""
    return sorted(
        (line["examination"], line["what"], line["found"]) for line in visit(*ALL).lines if "what" in line
    )


def test_nothing_is_found_where_nothing_is_wrong(items: Collection, ana: User):
    run("INSERT INTO items VALUES (1, 'a')")
    User.objects.update(is_superuser=True)
    rights_changed([ana.pk])

    assert findings() == []


TRIGGERS = ("changes.triggers_installed", "changes are not noted as declared")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (f"DROP TRIGGER relais_note_items_insert{ON_ITEMS}", (*TRIGGERS, "missing")),
        (f"DROP TRIGGER relais_note_items_delete{ON_ITEMS}", (*TRIGGERS, "missing")),
        (
            f'DROP TRIGGER "relais_note_$accounts$user$id_update"{"" if IS_SQLITE else " ON accounts_user"}',
            (*TRIGGERS, "missing"),
        ),
        ("ALTER TABLE items RENAME TO things", (*TRIGGERS, "There is no table 'items'.")),
        (
            f"INSERT INTO {NOTED} (collection, write, new, noted_at) VALUES ('items', 1, '{{}}', {LONG_AGO})",
            ("changes.read", "a change waits for the log", "no reader"),
        ),
        (
            f"INSERT INTO {NOTED} (collection, write, new, noted_at) VALUES ('gone', 1, '{{}}', {LATER})",
            ("changes.notes", "a change is of no collection", "none"),
        ),
        (
            f"INSERT INTO {NOTED} (collection, write, new, noted_at) VALUES ('$gone', 1, '{{}}', {LATER})",
            ("changes.notes", "a change is of no collection", "none"),
        ),
        (
            f"INSERT INTO {NOTED} (collection, write, new, noted_at) VALUES ('items', 1, 'no row', {LATER})",
            ("changes.notes", "a change cannot be read", "another text"),
        ),
    ],
)
def test_damage_is_found(damage: str, found: tuple[str, str, str], items: Collection):
    run(damage)
    try:
        assert found in findings()
        assert {what for what, *_ in findings()} == {found[0]}
    finally:
        run("DROP TABLE IF EXISTS things")


@pytest.mark.stack("small")
def test_outdated_columns_are_found_on_sqlite(items: Collection):
    run("ALTER TABLE items ADD COLUMN more text")

    assert set(findings()) == {(*TRIGGERS, "outdated")}


@pytest.mark.stack("full")
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("ALTER TABLE items DISABLE TRIGGER relais_note_items_update", (*TRIGGERS, "disabled")),
        ("ALTER TABLE items ENABLE REPLICA TRIGGER relais_note_items_update", (*TRIGGERS, "disabled")),
        ("ALTER TABLE items ADD COLUMN more text", (*TRIGGERS, "outdated")),
        ("DROP FUNCTION relais_note_items CASCADE", (*TRIGGERS, "missing")),
        (
            "CREATE OR REPLACE FUNCTION relais_note_items() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            (*TRIGGERS, "outdated"),
        ),
        (
            "CREATE TRIGGER relais_note_old_x AFTER INSERT ON items EXECUTE FUNCTION relais_note_items()",
            (*TRIGGERS, "left over"),
        ),
        ("CREATE TABLE items_more () INHERITS (items)", (*TRIGGERS, "missing")),
        (
            f"INSERT INTO {NOTED} (id, collection, write, noted_at) VALUES (10000000, 'items', 0, {LATER})",
            ("changes.numbers", "numbers repeat", None),
        ),
    ],
)
def test_damage_is_found_on_postgresql(
    damage: str, found: tuple[str, str, Any], items: Collection, table: Callable[..., Collection]
):
    run(damage)

    seen = {(examination, what, None if found[2] is None else text) for examination, what, text in findings()}
    assert seen == {found}


def test_change_that_a_reader_takes_a_moment_for_is_no_finding(
    items: Collection, monkeypatch: pytest.MonkeyPatch
):
    from changes.reader import read_some

    run(f"INSERT INTO {NOTED} (collection, write, new, noted_at) VALUES ('items', 1, '{{}}', {LONG_AGO})")
    monkeypatch.setattr(examinations, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(time, "sleep", lambda _: read_some())

    assert findings() == []
