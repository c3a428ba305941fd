"""The mistakes of an app are reported at once, by name: in an error, or in one line of the log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from channels.testing import WebsocketCommunicator

from guide_dialect.consumer import GuideConsumer
from guide_dialect.dialect import GuideDialect
from realtime import EVERYTHING, NOTHING, Command, Connection, Event, OnlyTypes, Position, publish_now
from realtime.hub.hub import Hub
from realtime.hub.rendering import Everything
from realtime.hub.subscription import Subscription
from realtime.log.positions import START
from realtime.sockets import connection as connections
from realtime.testing import ANSWER_SECONDS
from tests.realtime.listeners import Listener, Person, delivery

DIALECT = GuideDialect()


@dataclass
class Mutable:
    def render(self, write):
        return ()


class Pack(msgspec.Struct):
    order_id: int


# ── renderings ───────────────────────────────────────────────────────────────────────────────────────────


def subscription(rendering: Any) -> Subscription:
    return Subscription(Listener(), Person(), rendering, position=START, authorized_at=0)


@pytest.mark.parametrize("rendering", [None, Everything, "everything"])
def test_value_that_is_no_rendering_is_refused(rendering):
    with pytest.raises(TypeError, match="Expected a rendering"):
        subscription(rendering)


def test_rendering_that_is_no_value_is_refused():
    with pytest.raises(TypeError, match=r"Mutable is no value: .*frozen=True"):
        subscription(Mutable())


async def test_another_rendering_is_looked_at_as_the_first(hub: Hub):
    ana = Listener()
    ana.join(hub)
    assert ana.subscription is not None

    with pytest.raises(TypeError, match="Expected a rendering"):
        ana.subscription.render_as(None)  # type: ignore[arg-type]  # the mistake

    assert ana.subscription.rendering is EVERYTHING
    ana.subscription.end()


async def test_consumer_that_lets_everybody_in_by_oversight_is_named(hub: Hub, caplog):
    class Careless(GuideConsumer):
        async def authorise(self) -> None:
            raise ZeroDivisionError

    assert await closed_with(Careless) == 4500

    assert "Careless.authorize must say who may listen" in caplog.text


async def test_consumer_that_chose_no_rendering_is_named(hub: Hub, caplog):
    class Careless(GuideConsumer):
        async def authorize(self) -> None:
            self.join("talk.1")

    assert await closed_with(Careless) == 4500

    assert "Careless.rendering_of must choose how talk.1 is told" in caplog.text


async def test_consumer_that_joins_without_authorized_at_is_told_what_is_missing(hub: Hub, caplog):
    class Careless(GuideConsumer):
        async def authorize(self) -> None:
            self.join("talk.1", position=Position(3))

        def rendering_of(self, topic):
            return NOTHING

    assert await closed_with(Careless) == 4500

    assert "A durable topic needs both position and authorized_at" in caplog.text


async def closed_with(kind: type[GuideConsumer]) -> int:
    user = SimpleNamespace(pk=1)
    identity = SimpleNamespace(user=user, session_id=None, expires_at=time.time() + 3600, authorized_at=0)
    communicator = WebsocketCommunicator(kind.as_asgi(), "/ws/chat/1/")
    around: dict[str, Any] = {"identity": identity, "auth_error": None}
    communicator.scope.update(around)  # type: ignore[typeddict-item]  # what our middleware adds
    await communicator.connect(timeout=ANSWER_SECONDS)
    while (message := await communicator.receive_output(ANSWER_SECONDS))["type"] != "websocket.close":
        pass
    await communicator.wait()
    return int(message["code"])


# ── topics ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_topic_with_a_log_that_is_listened_to_as_if_it_had_none_is_named_once(hub: Hub, caplog):
    ana = Listener()
    hub.subscribe(ephemeral := subscription_of(ana), "talk.1", authorized_at=None)

    for seq in (1, 2):
        hub.receive([("talk.1", seq, delivery(seq).body)])

    assert caplog.text.count("talk.1 has a log, and is listened to without a position") == 1
    ephemeral.end()


async def test_topic_without_a_log_says_nothing_of_one(hub: Hub, caplog):
    ana = Listener()
    hub.subscribe(ephemeral := subscription_of(ana), "talk.1", authorized_at=None)

    hub.receive([("talk.1", None, delivery(None).body)])

    assert "has a log" not in caplog.text
    ephemeral.end()


def subscription_of(listener: Listener) -> Subscription:
    return Subscription(
        listener, listener.access, OnlyTypes(frozenset({"said"})), position=START, authorized_at=0
    )


def test_event_that_the_log_keeps_is_not_told_beside_it():
    class Kept(Event, tag="kept", frozen=True):
        seq: int = 0

    with pytest.raises(TypeError, match=r"Kept has a seq: .*publish_on_commit"):
        publish_now("talk.1", Kept())


# ── consumers ────────────────────────────────────────────────────────────────────────────────────────────


def make(command: Any) -> None:
    class Careless(Connection):
        commands = {"pack": command}


def test_command_that_is_none_is_refused_when_its_class_is_made():
    for command in (Pack, ("fields", "_pack"), Command(Pack, "_pack"), Command(Pack(1), print)):
        with pytest.raises(TypeError, match=r"Careless\.commands\['pack'\] is no Command"):
            make(command)


def test_method_of_a_command_takes_its_fields_and_its_ref():
    def pack(self, fields):
        pass

    with pytest.raises(
        TypeError, match=r"Careless\.commands\['pack'\]: .*pack must take \(self, fields, ref\)"
    ):
        make(Command(Pack, pack))


def test_method_with_any_parameters_is_a_commands_own_affair():
    make(Command(Pack, lambda self, *_: None))


async def test_consumer_without_a_dialect_is_named(hub: Hub):
    class Careless(Connection):
        pass

    communicator = WebsocketCommunicator(Careless.as_asgi(), "/ws/chat/1/")
    await communicator.send_input({"type": "websocket.connect"})

    with pytest.raises(TypeError, match=r"Careless has no dialect: .*on_handshake"):
        await communicator.future


async def test_route_without_a_declared_size_is_named_once(hub: Hub, caplog):
    class Careless(Connection):
        dialect = DIALECT

    assert Careless not in connections._undeclared
    for path in ("/ws/orders/1/", "/ws/orders/2/", "/ws/chat/1/"):
        communicator = WebsocketCommunicator(Careless.as_asgi(), path)
        await communicator.connect(timeout=ANSWER_SECONDS)
        await communicator.disconnect(timeout=ANSWER_SECONDS)

    assert caplog.text.count("The route of Careless is not declared in realtime.wire.sizes") == 1


async def test_route_with_a_declared_size_says_nothing(hub: Hub, caplog):
    class Careful(Connection):
        dialect = DIALECT

    communicator = WebsocketCommunicator(Careful.as_asgi(), "/ws/chat/1/")
    await communicator.connect(timeout=ANSWER_SECONDS)
    await communicator.disconnect(timeout=ANSWER_SECONDS)

    assert "is not declared" not in caplog.text
