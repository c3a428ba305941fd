"""A member who does not share receipts: nobody learns how far they read, and their own counts go on."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.services import update_profile
from chat import selectors, services
from realtime.testing import eventually
from tests.chat.speaking import aside, chat_path, say, share_of

URL = "/api/conversations/"


def hide(user) -> None:
    update_profile(user=user, shares_receipts=False)


def read(user, conversation, up_to_seq) -> None:
    services.mark_read(user_id=user.pk, conversation_id=conversation.pk, up_to_seq=up_to_seq)


# ── on the sockets ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["read", "delivered"])
async def test_nobody_is_told_live(ana, bruno, dora, group, connect, kind):
    """The switch is turned while the sockets are open; the reader's other device is told nothing either."""
    for _ in range(3):
        await aside(say)(group, ana)
    async with (
        connect(ana, chat_path(group, "?v=1")) as sender,
        connect(dora, chat_path(group, "?v=1")) as other,
        connect(bruno, chat_path(group, "?v=1")) as other_device,
        connect(bruno, chat_path(group)) as reader,
    ):
        for socket in (sender, other, other_device):
            await socket.receive_until("subscribed")
        await reader.send({"type": kind, "up_to_seq": 1})
        for socket in (sender, other, other_device, reader):
            assert (await socket.receive())["delivered_seq"] == 1

        await aside(hide)(bruno)
        await reader.send({"type": kind, "up_to_seq": 2})
        await eventually(aside(lambda: share_of(bruno, group).delivered_seq == 2))

        for socket in (sender, other, other_device, reader):
            assert await socket.receives_nothing()


async def test_receipts_that_are_shared_again_are_told_as_before(ana, bruno, conversation, connect):
    for _ in range(3):
        await aside(say)(conversation, ana)
    await aside(hide)(bruno)
    await aside(read)(bruno, conversation, 2)
    async with connect(ana, chat_path(conversation, "?v=1")) as sender:
        await sender.receive_until("subscribed")
        await aside(update_profile)(user=bruno, shares_receipts=True)
        assert await sender.receives_nothing()
        await aside(read)(bruno, conversation, 3)

        assert (await sender.receive())["read_seq"] == 3


async def test_nobody_is_told_after_a_resume(ana, bruno, dora, group, connect):
    await aside(say)(group, ana)
    for member in (bruno, dora):
        await aside(read)(member, group, 1)
    await aside(hide)(bruno)

    async with connect(ana, chat_path(group, "?since=1")) as socket:
        await socket.receive_until("subscribed")
        assert (await socket.receive())["user_id"] == dora.pk
        assert await socket.receives_nothing()


# ── over REST ────────────────────────────────────────────────────────────────────────────────────────────


def cursors(rows) -> dict[str, tuple[int, int]]:
    return {row["username"]: (row["delivered_seq"], row["read_seq"]) for row in rows}


def test_others_are_shown_zero_and_oneself_the_truth(db, ana, bruno, dora, group, api):
    say(group, ana)
    for member in (bruno, dora):
        read(member, group, 1)
    hide(bruno)

    def shown_to(viewer) -> list[dict[str, tuple[int, int]]]:
        client = api(viewer)
        return [
            cursors(client.get(f"{URL}{group.pk}/members/").json()),
            cursors(client.get(f"{URL}{group.pk}/").json()["members"]),
            cursors(client.get(URL).json()["results"][0]["members"]),
        ]

    to_others = {"ana": (0, 0), "bruno": (0, 0), "dora": (1, 1)}
    assert shown_to(ana) == shown_to(dora) == [to_others] * 3
    assert shown_to(bruno) == [to_others | {"bruno": (1, 1)}] * 3


def test_answers_about_members_show_zero_too(db, ana, bruno, clara, group, api):
    say(group, ana)
    read(bruno, group, 1)
    for hidden in (bruno, clara):
        hide(hidden)

    added = api(ana).post(f"{URL}{group.pk}/members/", {"participants": ["clara"]}).json()
    changed = api(ana).patch(f"{URL}{group.pk}/members/{bruno.pk}/", {"role": "admin"}).json()

    assert cursors([*added, changed]) == {"clara": (0, 0), "bruno": (0, 0)}
    assert share_of(clara, group).read_seq == added[0]["joined_seq"]


def test_ones_own_cursors_and_counts_go_on(db, ana, bruno, conversation, api):
    hide(bruno)
    for _ in range(3):
        say(conversation, ana)
    client, url = api(bruno), f"{URL}{conversation.pk}/"

    answer = client.post(f"{url}read/", {"up_to_seq": 2}).json()

    assert answer == {"delivered_seq": 2, "read_seq": 2, "unread_count": 1}
    assert client.post(f"{url}delivered/", {"up_to_seq": 3}).json() == answer | {"delivered_seq": 3}
    row = client.get(url).json()
    assert (row["read_seq"], row["unread_count"]) == (2, 1)
    history = client.get(f"{url}messages/").json()["results"]
    assert {row["seq"]: row["is_read"] for row in history} == {1: True, 2: True, 3: False}


# ── is_read of one's own ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def is_read(ana, api):
    """Whether Ana's message 1 is shown to her as read, which must be the same everywhere."""

    def ask(conversation) -> bool:
        client, url = api(ana), f"{URL}{conversation.pk}/"
        shown = {
            client.get(f"{url}messages/").json()["results"][0]["is_read"],
            client.get(url).json()["last_message"]["is_read"],
            client.get(URL).json()["results"][0]["last_message"]["is_read"],
        }
        assert len(shown) == 1
        return shown.pop()

    return ask


def test_message_is_not_read_by_one_who_does_not_share_it(db, ana, bruno, conversation, is_read):
    say(conversation, ana)
    read(bruno, conversation, 1)
    assert is_read(conversation)

    hide(bruno)

    assert not is_read(conversation)


def test_message_does_not_wait_for_one_who_does_not_share(db, ana, bruno, dora, group, is_read):
    say(group, ana)
    hide(bruno)
    assert not is_read(group)

    read(dora, group, 1)

    assert is_read(group)


def test_member_who_does_not_share_reads_for_nobody_else(db, ana, bruno, dora, group, is_read):
    say(group, ana)
    hide(bruno)
    read(bruno, group, 1)
    assert not is_read(group)

    read(dora, group, 1)
    hide(dora)

    assert not is_read(group)  # no member is left who would say so


def test_ones_own_switch_takes_nothing_from_what_others_share(db, ana, bruno, conversation, is_read):
    say(conversation, ana)
    read(bruno, conversation, 1)
    hide(ana)

    assert is_read(conversation)


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────


def test_switch_costs_no_query(db, ana, bruno, dora, conversation, group, api):
    """The switch costs no query where cursors move or are shown, however many members there are."""
    membership = selectors.membership_for(user_id=ana.pk, conversation_id=group.pk)
    client, costs = api(ana), []
    for hides in (False, True):
        say(group, ana)
        if hides:
            hide(bruno)
        counts = []
        for ask in (
            lambda: read(bruno, group, selectors.membership_for(
                user_id=bruno.pk, conversation_id=group.pk).head),
            lambda: selectors.receipts_in([group.pk, conversation.pk]),
            lambda: selectors.history(membership, before=None, after=None, limit=1),
            lambda: client.get(f"{URL}{group.pk}/members/"),
            lambda: client.get(f"{URL}{conversation.pk}/members/"),
            lambda: client.get(URL),
        ):  # fmt: skip
            with CaptureQueriesContext(connection) as queries:
                ask()
            counts.append(len(queries))
        costs.append(counts)

    assert costs[0] == costs[1]
    assert costs[0][1:3] == [1, 2]
    assert costs[0][3] == costs[0][4]
