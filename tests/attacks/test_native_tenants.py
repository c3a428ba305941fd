"""Nobody hears or does on the native socket what is not theirs, and what is forbidden looks unknown.

The commands and the feeds are read from the product: one that is added without a row in the matrix fails
here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from accounts.services import deactivate
from changes.models import NotedChange
from changes.opened import everything_opened
from chat import services
from native.commands import COMMANDS
from native.feeds import feeds
from realtime.hub.head_checks import HeadChecks
from tests.attacks import native_matrix as matrix
from tests.attacks import surface
from tests.attacks.callers import PATH, Caller, calling, outcome
from tests.attacks.conftest import CANARY, Tenant
from tests.attacks.matrix import HTTP, OUTSIDERS
from tests.attacks.native_matrix import INSIDERS, NOT_THEIRS, asked
from tests.attacks.test_tenants import call, state_of, undone
from tests.chat.speaking import aside, say
from tests.factories import make_conversation, make_user

ROWS = [*matrix.COMMANDS.items(), *(("subscribe", row) for row in matrix.FEEDS.values())]


@pytest.fixture
async def people(hub: Any, make_tenant: Callable[[], Tenant]) -> Tenant:
    """A tenant in a database that the sockets' threads see."""
    await aside(everything_opened)()  # the shapes of tables are read once a process
    return await aside(make_tenant)()


#: The table that the reader of changes looks at, beside everything that callers do.
NOTES = NotedChange._meta.db_table


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """`with queries() as texts:` the statements that callers cause during the block, in any thread.

    The statements of new connections, of the hub's head checks and of the reader of changes are left out.
    """

    async def unseen(self: HeadChecks, topics: Any) -> None: ...

    monkeypatch.setattr(HeadChecks, "_check", unseen)
    texts: list[str] = []
    for method in ("execute", "executemany"):
        original = getattr(CursorWrapper, method)

        def noted(self: Any, sql: str, params: Any = None, *, original: Any = original) -> Any:
            if not sql.startswith(("PRAGMA", "SET ", "SELECT set_config")) and NOTES not in sql:
                texts.append(sql)
            return original(self, sql, params)

        monkeypatch.setattr(CursorWrapper, method, noted)

    @contextmanager
    def meanwhile() -> Iterator[list[str]]:
        texts.clear()
        yield texts

    return meanwhile


def test_matrix_has_every_command_and_every_feed():
    assert surface.native_socket() == PATH
    assert matrix.COMMANDS.keys() == COMMANDS.keys()
    assert matrix.FEEDS.keys() == feeds().keys()


def test_matrix_asks_over_rest_what_its_callers_may_ask_there():
    """A row that names a route expects the answers of that route's rule, caller by caller."""
    for name, row in matrix.COMMANDS.items():
        if row.rest is not None:
            refused = {
                caller: HTTP[row.rest].answers[caller] >= 400 for caller in (*OUTSIDERS, "member", "admin")
            }
            assert refused == {caller: row.answer_to(caller) != "ack" for caller in refused}, name


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────


def code_over_rest(tenant: Tenant, caller: str, row: matrix.Row) -> str:
    """The code with which REST answers the same request."""
    assert row.rest is not None
    with undone():
        answer = call(tenant.client(caller), *row.rest, tenant.ids)
    return "ack" if answer.status_code < 400 else answer.json()["code"]


@pytest.mark.parametrize("name", matrix.CALLERS)
async def test_everybody_is_answered_as_the_matrix_and_as_rest_say(people: Tenant, name):
    token = await aside(people.token)(name)
    answers: dict[str, str | None] = {}
    expected: dict[str, str | None] = {}
    # REST comes first: what is undone keeps the database's lock, and a socket writes whenever it likes.
    for command, row in ROWS:
        if row.rest is not None:
            assert await aside(code_over_rest)(people, name, row) == row.answer_to(name), command
    async with calling(token) as caller:
        for command, row in ROWS:
            what = f"{command} {row.frame.get('topic', '')}"
            expected[what] = row.answer_to(name)
            if expected[what] is None:
                await caller.socket.send({"type": command, **asked(row, **people.ids, token=token)})
                assert await caller.catches_up() == [], what
                answers[what] = None
                continue
            answers[what] = outcome(await caller.ask(command, **asked(row, **people.ids, token=token)))
    assert answers == expected


@pytest.mark.parametrize("name", OUTSIDERS)
async def test_outsider_changes_nothing_and_cannot_tell_what_exists(people: Tenant, queries, name):
    """The answer is the same, and so are the queries, from which a clock could tell."""
    token = await aside(people.token)(name)
    before = await aside(state_of)(people)
    async with calling(token) as caller:
        for command, row in ROWS:
            wishes = [asked(row, **ids, token=token) for ids in (people.ids, people.unknown)]
            if wishes[0] == wishes[1]:
                continue
            seen = []
            for wish in wishes:
                with queries() as texts:
                    answer = await caller.ask(command, **wish)
                # Parts of the answer that the client itself had sent.
                seen.append((answer | {"ref": None, "id": None}, list(texts)))
            assert seen[0] == seen[1], command
        # Nor are any names looked up before it is known that the caller may not.
        wish = asked(matrix.COMMANDS["members.add"], **people.ids)
        answer = await caller.ask("members.add", **{**wish, "participants": ["nobody"]})
        assert outcome(answer) == NOT_THEIRS
    assert await aside(state_of)(people) == before
    assert CANARY not in str(caller.heard)


@pytest.mark.parametrize("name", matrix.CALLERS)
async def test_id_of_another_tenant_is_unknown_inside_ones_own(people: Tenant, queries, name):
    """The conversation is the caller's, the message or the member is not."""
    own = await aside(services.create_conversation)(creator=people.people[name], participants=[], title="own")
    before = await aside(state_of)(people)
    async with calling(await aside(people.token)(name)) as caller:
        for command, fields in (
            ("edit", {"message_id": "{message_id}", "message": "mine now"}),
            ("delete", {"message_id": "{message_id}"}),
            ("members.role", {"user_id": "{user_id}", "role": "admin"}),
            ("members.remove", {"user_id": "{user_id}"}),
        ):
            row, seen = matrix.Row(fields, None, None, None, None), []
            for ids in (people.ids, people.unknown):
                with queries() as texts:
                    answer = await caller.ask(command, conversation_id=own.pk, **asked(row, **ids))
                seen.append((answer | {"ref": None}, list(texts)))
            assert seen[0] == seen[1], command
            assert seen[0][0]["code"] in ("message_not_found", "not_found")
    assert await aside(state_of)(people) == before


async def test_caller_who_is_not_signed_in_is_told_nothing(people: Tenant, queries):
    """A caller who is not signed in gets the same answer for what exists and what does not, and nothing is
    looked up."""
    commands = [(name, row) for name, row in ROWS if name != "auth"]
    assert len(commands) > len(COMMANDS)
    for command, row in commands:
        async with calling(None) as caller:
            with queries() as texts:
                for ids in (people.ids, people.unknown):
                    fields = asked(row, **ids, token=CANARY)
                    answer = await caller.ask(command, **fields)
                    named = fields.get("id", fields.get("topic"))
                    assert (outcome(answer), answer["id"]) == ("unauthenticated", named), command
            assert CANARY not in str(caller.heard)
            assert texts == [], command


# ── subscriptions ────────────────────────────────────────────────────────────────────────────────────────


async def listen_to_all(caller: Caller, tenant: Tenant) -> None:
    """Open every subscription that this caller may have, and one to the conversation under another name."""
    for row in matrix.FEEDS.values():
        await caller.ask("subscribe", **asked(row, **tenant.ids))
    await caller.ask("subscribe", topic=f"conversation.{tenant.conversation.pk}", id="again", with_id=True)


async def everything_happens(tenant: Tenant, caller: Caller) -> None:
    """Let the owner do on a socket everything that can be told in a conversation."""
    where = {"conversation_id": tenant.conversation.pk}
    sent = await caller.ask("send", **where, message=f"{CANARY} live")
    for command, fields in (
        ("typing", {"is_typing": True}),
        ("edit", {"message_id": sent["message_id"], "message": f"{CANARY} again"}),
        ("read", {"up_to_seq": sent["seq"]}),
        ("conversation.rename", {"title": f"{CANARY} title"}),
        ("members.role", {"user_id": tenant.people["manager"].pk, "role": "admin"}),
        ("members.role", {"user_id": tenant.people["manager"].pk, "role": "member"}),
        ("delete", {"message_id": sent["message_id"]}),
    ):
        assert outcome(await caller.ask(command, **where, **fields)) == "ack", command


async def test_events_are_told_only_to_callers_with_the_right(people: Tenant):
    async with AsyncExitStack() as sockets:
        callers = {}
        for name in matrix.CALLERS:
            callers[name] = await sockets.enter_async_context(calling(await aside(people.token)(name)))
            await listen_to_all(callers[name], people)
        await everything_happens(people, callers["admin"])
        all_there_is = {
            "message", "typing", "message_edited", "receipt", "conversation_renamed",
            "member_role_changed", "message_deleted", "message_received",
        }  # fmt: skip
        await callers["member"].until(lambda told: {frame["type"] for frame in told} >= all_there_is)
        for name in OUTSIDERS:
            assert await callers[name].catches_up() == [], name
            assert CANARY not in str(callers[name].heard)


async def test_newcomer_is_shown_nothing_from_before(people: Tenant):
    """The newcomer's pages, snapshots, resumes and edits begin with their arrival."""
    where = {"conversation_id": people.conversation.pk}
    topic = f"conversation.{people.conversation.pk}"
    newcomer = await aside(make_user)("newcomer")
    admin = people.people["admin"]
    await aside(services.rename_conversation)(**where, by=admin, title="plain")
    await aside(services.add_members)(**where, by=admin, users=[newcomer], role="member")
    people.people["newcomer"] = newcomer
    async with calling(await aside(people.token)("newcomer")) as caller:
        for fields in ({}, {"before": 10_000}, {"after": 0}, {"before": 2}, {"after": 0, "limit": 200}):
            assert outcome(await caller.ask("messages", **where, **fields)) == "ack"
        begun: list[dict[str, Any]] = [{"snapshot": 200}, {"since": 0}, {"since": "1"}]
        for number, more in enumerate([*begun, {"since": "1", "snapshot": 200}]):
            assert outcome(await caller.ask("subscribe", topic=topic, id=number, **more)) == "subscribed"
        begun = [{"snapshot": 200}, {"since": {topic: "0"}}, {"since": {topic: "1"}}]
        for number, more in enumerate(begun):
            answer = await caller.ask("subscribe", topic="mine", id=f"mine {number}", **more)
            assert outcome(answer) == "subscribed"
        edited = people.ids["message_id"]
        await aside(services.edit_message)(**where, message_id=edited, by=admin, content=f"{CANARY} edited")
        events = await caller.hears("message_edited", times=7)
        assert [frame["content"] for frame in events if frame["type"] == "message_edited"] == [None] * 7
    assert CANARY not in str(caller.heard)


async def test_resume_of_all_topics_is_looked_up_at_once(people: Tenant, queries):
    """All topics are looked up together, whatever positions the client gives; here, ones from before they
    joined."""
    newcomer, admin = await aside(make_user)("newcomer"), people.people["admin"]

    def join() -> None:
        for _ in range(10):
            joined = make_conversation(admin, title="one of many")
            say(joined, admin, "before")
            services.add_members(conversation_id=joined.pk, by=admin, users=[newcomer], role="member")

    await aside(join)()
    people.people["newcomer"] = newcomer
    async with calling(await aside(people.token)("newcomer")) as caller:
        topics = (await caller.ask("subscribe", topic="mine", id="now"))["positions"]
        with queries() as texts:
            answer = await caller.ask("subscribe", topic="mine", since=dict.fromkeys(topics, "0"))
    assert (outcome(answer), len(topics)) == ("subscribed", 10)
    assert len([text for text in texts if "chat_departure" in text]) == 1, texts


async def test_removed_member_is_told_up_to_the_removal_and_nothing_after(people: Tenant):
    """This holds for all subscriptions at once; the right to command ends with the removal too."""
    member, where = people.people["member"], {"conversation_id": people.conversation.pk}
    async with (
        calling(await aside(people.token)("member")) as caller,
        calling(await aside(people.token)("admin")) as admin,
    ):
        await listen_to_all(caller, people)
        await listen_to_all(admin, people)
        await admin.ask("send", **where, message="before")
        answer = await admin.ask("members.remove", **where, user_id=member.pk)
        assert outcome(answer) == "ack"
        await everything_happens(people, admin)
        await admin.hears("message_deleted", times=3)
        await caller.catches_up()
        told = await caller.hears("conversation_left")
        removal = next(frame["seq"] for frame in told if frame["type"] == "member_removed")
        of_it = [frame for frame in told if frame.get("topic") == f"conversation.{people.conversation.pk}"]
        assert [frame["type"] for frame in of_it].count("member_removed") == 3
        assert all(frame.get("seq", 0) <= removal for frame in of_it)
        over = [frame for frame in told if frame["type"] == "unsubscribed"]
        assert {(frame["id"], frame["code"]) for frame in over} == {("c", NOT_THEIRS), ("again", NOT_THEIRS)}
        said = json.dumps(told)
        assert not [words for words in ("live", "again", "title") if f"{CANARY} {words}" in said]
        for command in ("send", "read", "typing", "messages", "members"):
            row = matrix.COMMANDS[command]
            answer = await caller.ask(command, **asked(row, **people.ids))
            assert outcome(answer) == NOT_THEIRS, command
        assert await caller.catches_up() == []


async def test_subscription_that_is_behind_is_no_proof_of_membership(people: Tenant, hub):
    """A client that does not read is not told of its removal, and must not go on typing and reading."""
    topic = f"conversation.{people.conversation.pk}"
    async with calling(await aside(people.token)("member")) as caller:
        await caller.ask("subscribe", topic=topic)
        [socket] = hub.sockets
        [subscription] = [each for each in socket.subscriptions() if each.topic == topic]
        subscription.audience.set_aside(subscription)
        assert outcome(await caller.ask("typing", **asked(matrix.COMMANDS["typing"], **people.ids))) == "ack"
        await aside(services.remove_member)(
            conversation_id=people.conversation.pk,
            by=people.people["admin"],
            user_id=people.people["member"].pk,
        )
        for command in ("typing", "read", "delivered"):
            answer = await caller.ask(command, **asked(matrix.COMMANDS[command], **people.ids))
            assert outcome(answer) == NOT_THEIRS, command


async def test_disabled_user_hears_and_does_nothing_more(people: Tenant):
    async with (
        calling(await aside(people.token)("member")) as caller,
        calling(await aside(people.token)("admin")) as admin,
    ):
        await listen_to_all(caller, people)
        await aside(deactivate)(user=people.people["member"])
        await caller.socket.send({"type": "send", "conversation_id": people.conversation.pk, "message": "no"})
        await everything_happens(people, admin)
        assert outcome(json.loads(await caller.socket.receive_text())) == "account_disabled"
        assert await caller.socket.receive_close() == 4403


@pytest.mark.parametrize("name", INSIDERS)
async def test_entries_of_another_user_cannot_be_read(people: Tenant, name):
    """Another user's entries are not shown, not counted, and not marked."""
    unread = 1 if name == "admin" else 0
    async with calling(await aside(people.token)(name)) as caller:
        page = await caller.ask("notifications")
        shown = await caller.ask("subscribe", topic="inbox", snapshot=True)
        marked = await caller.ask("notifications.read", ids=[people.ids["notification_id"]])
    kinds = [entry["type"] for entry in page["result"]["results"]]
    assert kinds.count("payment_completed") == unread
    assert shown["snapshot"]["unread_count"] == page["result"]["unread_count"] == len(kinds)
    assert marked["result"]["unread_count"] == len(kinds) - unread
