"""A member who does not share typing: others are told nothing from that moment on, on open sockets too."""

import pytest
from asgiref.sync import sync_to_async

from accounts.services import update_profile
from realtime.testing import eventually
from tests.typing_indicator.test_typing_socket import STOPS, TYPES, frame_of, path
from typing_indicator import typists


async def share(user, hub, *, typing: bool) -> None:
    """Turn the switch, and wait until this process has heard of it."""
    await sync_to_async(update_profile)(user=user, shares_typing=typing)
    open_sockets = [socket for socket in hub.sockets if socket.user_id == user.pk]
    await eventually(lambda: all(socket.user.shares_typing is typing for socket in open_sockets))


async def test_nobody_is_told_and_the_typist_hears_no_error(ana, bruno, conversation, connect):
    await sync_to_async(update_profile)(user=ana, shares_typing=False)
    async with connect(bruno, path(conversation)) as other:
        async with connect(ana, path(conversation)) as typist, connect(ana, path(conversation, "?v=1")) as v1:
            for socket in (typist, v1):
                for frame in (TYPES, STOPS, TYPES):
                    await socket.send(frame)

            assert await other.receives_nothing()
            assert await typist.receives_nothing()
            assert await v1.receives_nothing()
        assert await other.receives_nothing()  # nor that they left


async def test_others_are_told_to_them_as_before(ana, bruno, conversation, connect):
    await sync_to_async(update_profile)(user=ana, shares_typing=False)
    async with connect(ana, path(conversation)) as hidden, connect(bruno, path(conversation)) as typist:
        await typist.send(TYPES)

        assert await hidden.receive() == frame_of(bruno, conversation, is_typing=True)


async def test_switch_holds_on_sockets_that_are_open(ana, bruno, conversation, connect, hub):
    async with (
        connect(ana, path(conversation)) as typist,
        connect(ana, path(conversation)) as other_device,
        connect(bruno, path(conversation)) as other,
    ):
        await share(ana, hub, typing=False)
        for socket in (typist, other_device):
            await socket.send(TYPES)
        assert await other.receives_nothing()

        await share(ana, hub, typing=True)
        await typist.send(TYPES)
        assert await other.receive() == frame_of(ana, conversation, is_typing=True)


async def test_switch_of_another_changes_nothing(ana, bruno, clara, group, connect, hub):
    async with (
        connect(ana, path(group)) as typist,
        connect(bruno, path(group)),
        connect(clara, path(group)) as other,
    ):
        await share(bruno, hub, typing=False)
        await typist.send(TYPES)

        assert (await other.receive())["username"] == "ana"


@pytest.mark.parametrize("leaves", [False, True])
async def test_typing_told_before_the_switch_expires_in_its_time(
    ana, bruno, conversation, connect, hub, monkeypatch, leaves
):
    """Nothing else is told of them: not that they stopped, nor that they left."""
    monkeypatch.setattr(typists, "TYPING_TTL_SECONDS", 60)
    async with connect(bruno, path(conversation)) as other:
        async with connect(ana, path(conversation)) as typist:
            await typist.send(TYPES)
            assert (await other.receive())["is_typing"]
            [expiry] = [known.expiry for key, known in typists._typists.items() if key[2] == ana.pk]
            await share(ana, hub, typing=False)
            for frame in [TYPES, STOPS] if not leaves else []:
                await typist.send(frame)
            if not leaves:
                assert await other.receives_nothing()
        assert await other.receives_nothing()

        assert not expiry.cancelled()
        expiry._run()  # its time has come
        assert await other.receive() == frame_of(ana, conversation, is_typing=False)
        assert await other.receives_nothing()
        expiry.cancel()


@pytest.mark.parametrize("kind", ["chat", "typing"])
@pytest.mark.parametrize("query", ["", "?v=1", "?since=0"])
async def test_switch_is_shown_to_no_client(ana, bruno, conversation, connect, hub, kind, query):
    async with (
        connect(ana, f"/ws/{kind}/{conversation.pk}/{query}") as own,
        connect(bruno, f"/ws/{kind}/{conversation.pk}/{query}") as others,
    ):
        if kind == "chat" and query:
            for socket in (own, others):
                await socket.receive_until("subscribed")
        await share(ana, hub, typing=False)

        assert await own.receives_nothing()
        assert await others.receives_nothing()
