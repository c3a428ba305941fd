"""Tally: counters over WebSockets, as MessagePack arrays in binary frames. A dialect and its consumer.

    the client     beat · sign token · open channel least token after · renew token · put amounts · shut
    the server     yes · no code text wait · rows [position, amounts] · over code · later wait

Each frame is an array of a verb, an id, and the fields of the verb. The client chooses the ids. A
subscription speaks for the user of its own token, or else for the user who signed in on the socket.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from realtime import (
    BARRIER,
    INLINE,
    Access,
    Command,
    Commands,
    Connection,
    Delivery,
    Enveloped,
    Event,
    Frame,
    Identity,
    InvalidInputError,
    NotFoundError,
    Payload,
    Position,
    RealtimeError,
    Refusal,
    Rendering,
    Request,
    Subscription,
    UnauthenticatedError,
    announcing,
    foreign_topic,
    log,
    positions,
    publish_on_commit,
)

SUBPROTOCOL = "tally.1"
MAX_ID_LENGTH = 64
LANES: dict[str, Hashable] = {"beat": INLINE, "sign": BARRIER}

pack = msgspec.msgpack.encode


class UpgradeRequiredError(RealtimeError):
    """Ask for the subprotocol tally.1."""

    code, status = "upgrade_required", 426


class GoneError(RealtimeError):
    """What followed that position is not kept, or never was."""

    code, status = "gone", 410


# ── frames of rows ───────────────────────────────────────────────────────────────────────────────────────


class Counted(Event, tag="counted", frozen=True):
    write: str
    by: str
    amount: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Large:
    """One frame for each write, with the amounts that are large enough; it leaves out the user who put
    them."""

    least: int

    def render(self, write: Sequence[Delivery]) -> Iterable[Frame]:
        amounts = [each.fields["amount"] for each in write if each.fields["amount"] >= self.least]
        if amounts:
            last = write[-1].fields
            yield Frame(pack([last["position"], amounts]), left_out={last["by"]})


@dataclass(frozen=True, slots=True)
class Named:
    """The envelope, which names the client's subscription."""

    id: Hashable

    def wrap(self, payload: Payload) -> Payload:
        assert isinstance(payload, bytes)
        return b"\x93" + pack("rows") + pack(self.id) + payload  # an array of three


@announcing()
def put(topic: str, by: str, amounts: Sequence[int]) -> None:
    write = secrets.token_hex(4)
    for amount in amounts:
        publish_on_commit(topic, Counted(write=write, by=by, amount=amount))


def extent(topic: str) -> tuple[int, Position]:
    """The floor of a topic's log, and the position at its end."""
    return log.floor(topic), log.ends([topic])[topic]


# ── the dialect ──────────────────────────────────────────────────────────────────────────────────────────


class TallyDialect:
    def subprotocol(self, offered: Sequence[str]) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in offered else None

    def read(self, payload: Payload) -> Request:
        if isinstance(payload, str):
            raise InvalidInputError("Text frames are not understood.")
        try:
            verb, ref, *fields = msgspec.msgpack.decode(payload, type=list)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise InvalidInputError("A frame is an array of a verb, an id, and what they need.") from None
        if not isinstance(ref, str | int) or len(str(ref)) > MAX_ID_LENGTH:
            raise InvalidInputError("An id is an integer or a short text.")
        return Request(verb, fields, ref, lane=LANES.get(verb, ref) if isinstance(verb, str) else ref)

    def error(self, error: RealtimeError, ref: Any) -> Payload | None:
        return pack(["no", ref, error.code, error.message, error.retry_after_ms])

    def close_code(self, error: RealtimeError) -> int:
        return 3000 + error.status

    def restarting(self, error: RealtimeError) -> Payload | None:
        return pack(["later", None, error.retry_after_ms])

    def refusal(self, error: RealtimeError) -> Refusal | None:
        headers = [(b"content-type", b"application/vnd.msgpack"), (b"tally-versions", SUBPROTOCOL.encode())]
        return Refusal(error.status, headers, pack([error.code, error.message, error.retry_after_ms]))


# ── the consumer ─────────────────────────────────────────────────────────────────────────────────────────


class Nothing(msgspec.Struct, array_like=True):
    pass


class Token(msgspec.Struct, array_like=True):
    token: str


class Opening(msgspec.Struct, array_like=True):
    channel: str
    least: int = 0
    token: str | None = None
    after: str | None = None


class Amounts(msgspec.Struct, array_like=True):
    amounts: list[int]


class Tally(Connection):
    kind = "tally"
    dialect = TallyDialect()

    async def on_open(self) -> None:
        self.signed: Access | None = None
        self.opened: dict[Hashable, Subscription] = {}
        if SUBPROTOCOL not in self.scope["subprotocols"]:
            raise UpgradeRequiredError

    def say(self, verb: str, ref: Hashable, *more: object) -> None:
        self.push(pack([verb, ref, *more]))

    def do_beat(self, _fields: Nothing, ref: Hashable) -> None:
        self.say("yes", ref)

    async def do_sign(self, fields: Token, ref: Hashable) -> None:
        access = self.admit(await self.identity_of(fields.token), on_lost=self.lost)
        if self.signed is not None:
            self.dismiss(self.signed)
        self.signed = access
        self.say("yes", ref)

    async def do_open(self, fields: Opening, ref: Hashable) -> None:
        topic = foreign_topic("tally", fields.channel)
        identity = await self.identity_of(fields.token)
        floor, end = await self.run(extent, topic)
        after = end if fields.after is None else positions.parse(fields.after)
        if after is None or not floor <= after.seq <= end.seq:
            raise GoneError
        self.listen(ref, topic, Enveloped(Large(fields.least), Named(ref)), identity, after, end)

    async def do_renew(self, fields: Token, ref: Hashable) -> None:
        before = self.subscription_of(ref)
        before.suspend()
        try:
            identity = await self.identity_of(fields.token)
            _, end = await self.run(extent, before.topic)
            if self.subscription_of(ref) is before:  # its old token may have ended meanwhile
                self.listen(ref, before.topic, before.rendering, identity, before.place, end)
        finally:
            before.resume()

    async def do_put(self, fields: Amounts, ref: Hashable) -> None:
        await self.run(put, self.subscription_of(ref).topic, self.name_of(ref), fields.amounts)
        self.say("yes", ref)

    def do_shut(self, _fields: Nothing, ref: Hashable) -> None:
        self.shut(self.subscription_of(ref))
        self.say("yes", ref)

    commands: ClassVar[Commands] = {
        "beat": Command(Nothing, do_beat),
        "sign": Command(Token, do_sign),
        "open": Command(Opening, do_open),
        "renew": Command(Token, do_renew),
        "put": Command(Amounts, do_put),
        "shut": Command(Nothing, do_shut),
    }

    # --- accesses and subscriptions ------------------------------------------------------------------

    async def identity_of(self, token: str | None) -> Identity:
        if token is not None:
            identity: Identity = await self.scope["identify"](token)
            return identity
        if self.signed is None or self.signed.identity is None:
            raise UnauthenticatedError
        return self.signed.identity

    def listen(
        self,
        ref: Hashable,
        topic: str,
        rendering: Rendering,
        identity: Identity,
        after: Position,
        end: Position,
    ) -> None:
        access = self.admit(identity, on_lost=self.lost)
        if ref in self.opened:
            self.shut(self.opened[ref])
        self.opened[ref] = self.subscribe(
            topic,
            rendering,
            access=access,
            id=ref,
            position=after,
            authorized_at=end,
            name=self.name_of(ref),
            on_live=lambda place: self.say("yes", ref, str(place)),
        )

    def subscription_of(self, ref: Hashable) -> Subscription:
        if ref not in self.opened:
            raise NotFoundError
        return self.opened[ref]

    def name_of(self, ref: Hashable) -> str:
        return f"{self.socket_id} {ref!r}"

    def shut(self, subscription: Subscription) -> None:
        del self.opened[subscription.id]
        subscription.end()
        self.dismiss(subscription.access)

    def lost(self, access: Access, error: RealtimeError) -> None:
        for subscription in access.subscriptions():
            self.shut(subscription)
            self.say("over", subscription.id, error.code)
        if access is self.signed:
            self.signed = None

    def on_misled(self, subscription: Subscription, seq: int) -> None:
        if self.opened.get(subscription.id) is not subscription:
            super().on_misled(subscription, seq)
            return
        self.shut(subscription)
        self.say("over", subscription.id, GoneError.code)
