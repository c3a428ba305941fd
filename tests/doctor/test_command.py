"""`manage.py doctor`: its output for people and for machines, and its exit status."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from doctor import examinations
from doctor.examinations import Finding, examination, registered
from realtime.models import Topic
from tests.servers import manage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def _more_examinations(monkeypatch):
    """Adds two examinations, for this test only."""
    call_command("doctor", "--list", stdout=io.StringIO())  # registers the examinations of the apps first
    monkeypatch.setattr(examinations, "_examinations", dict(examinations._examinations))

    @examination(remedy="Sleep.")
    def tired() -> Iterator[Finding]:
        """Nobody is tired."""
        for number in range(25):
            yield Finding("somebody is tired", {"user": number}, "awake", "tired")

    @examination(remedy="Never needed.")
    def broken() -> Iterator[Finding]:
        """Nothing is broken."""
        yield Finding("something is broken", {}, "whole", "broken")
        raise DatabaseError("DETAIL: Key (content)=(confidential)")


def run(*arguments: str) -> tuple[int, str]:
    said = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=said, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def test_list_names_each_promise_and_examines_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        status, said = run("--list")

    assert status == 0
    for each in registered():
        assert f"{each.name}\n    {each.promise}\n" in said
        assert each.promise.count("\n") == 0
        assert each.remedy.endswith(".")


def test_only_examines_what_was_named():
    assert run("--only", "chat.members", "--json")[1].count("\n") == 1
    with pytest.raises(CommandError, match=r"chat\.nothing"):
        run("--only", "chat.nothing")


def test_findings_are_sentences_with_what_to_do():
    Topic.objects.create(name="user.1", head=2)

    status, said = run("--only", "realtime.log_numbers")

    finding, remedy = said.splitlines()
    assert status == 1
    assert finding == (
        "realtime.log_numbers  topic=user.1: it lacks events. "
        "Expected: one event at every seq. Found: none from seq 1 to 2."
    )
    assert remedy.startswith("    What to do: Restore these events from a backup")


@pytest.mark.usefixtures("_more_examinations")
def test_many_findings_are_counted():
    status, said = run("--only", "tests.tired")

    assert status == 1
    assert said.count("somebody is tired") == 20
    assert "… and 5 more" in said
    assert run("--only", "tests.tired", "--json")[1].count("somebody is tired") == 25


@pytest.mark.usefixtures("_more_examinations")
@pytest.mark.parametrize("style", [[], ["--json"]])
def test_examination_that_breaks_is_told_and_hides_no_other(style):
    status, said = run("--only", "tests.broken", "tests.tired", *style)

    assert status == 2
    assert "DatabaseError" in said
    assert "confidential" not in said
    assert "somebody is tired" in said
    with pytest.raises(DatabaseError):
        run("--only", "tests.broken", "--traceback")


def test_command_line_ends_with_its_status(server_database):
    # One examination: the demo's rows wait for a reader, and no server was ever started on this database.
    said = manage("doctor", "--only", "realtime.log_numbers", database_url=server_database)
    assert "ok  realtime.log_numbers" in said
