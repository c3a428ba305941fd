"""A page: a user's native socket, with a member in each conversation that it shows.

It does what a good client of `/ws/` does (docs/protocols/native.md). Each member leaves the same evidence as
one with a socket of its own: a subscription counts as a connection, and its end as a close.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from proof.dialects import Frame, Native
from proof.history import REMOVED, Send
from proof.member import SENT_AGAIN, Member, Place
from proof.returning import Returning

#: The id of the subscription to `mine`.
MINE = "mine"
#: Close codes that stand for the end of a subscription: one that may be asked for again, and one that may
#: not.
AGAIN, WRONG = 1013, 4400
NOT_YOURS = "not_a_participant"


class Page(Returning):
    """Connects, authenticates, subscribes for its members, and passes each its frames."""

    def __init__(
        self,
        place: Place,
        *,
        port: Callable[[], int],
        rng: random.Random,
        says_token_first: bool = False,
        with_inbox: bool = False,
    ) -> None:
        super().__init__(port=port, rng=rng)
        self.user, self.token = place.user, place.token
        #: Whether it subscribes once to `mine`, or to each conversation.
        self.is_mine = place.how == MINE
        #: The token goes into the first frame, not into the address.
        self.says_token_first = says_token_first
        self.with_inbox = with_inbox
        #: The members by the id of their subscription.
        self.members: dict[str, Subscriber] = {}
        #: The times of the inbox's notices of messages, by conversation.
        self.notices: list[tuple[float, int]] = []
        #: Errors that answer none of its commands.
        self.errors: list[str] = []
        self._is_signed_in = False
        #: The position of `mine` itself, and whether it is subscribed to now.
        self._position: str | None = None
        self._is_told_all = False

    # --- what its members ask of it ---------------------------------------------------------------------

    def expect(self, member: Subscriber) -> None:
        """Subscribe for a member when it wants to come, or when the page connects for others."""
        member.is_wanted = True
        self.members[member.name] = member

    def seat(self, member: Subscriber) -> None:
        """Subscribe for a member, now or once the page is connected."""
        if self._task is None or (self._task.done() and not self._is_signed_in):
            self.come()
        elif self._is_signed_in and not self.is_mine:
            self._subscribe(member)
        elif self._is_signed_in and not self._is_told_all:
            member.begin()

    def say(self, **command: Any) -> None:
        if self._socket is not None and self._is_signed_in:
            self._socket.say(json.dumps(command).encode())

    def look(self) -> None:
        """The page is well once each of its members is live, or may not listen."""
        if not self._ready.is_set() and all(
            member.is_here or member.is_out for member in self.members.values()
        ):
            self._failures = 0
            self._ready.set()

    # --- coming and going -------------------------------------------------------------------------------

    def path(self) -> str:
        return "/ws/" if self.says_token_first else f"/ws/?token={self.token}"

    def opened(self) -> None:
        if self.says_token_first and self._socket is not None:
            self._socket.say(json.dumps({"type": "auth", "token": self.token}).encode())

    def ended(self, code: int, *, status: int, retry_after: float) -> None:
        super().ended(code, status=status, retry_after=retry_after)
        self._is_signed_in = self._is_told_all = False
        for member in self.members.values():
            member.hang_up(None if self._leaves else code, str(code))

    # --- subscribing ------------------------------------------------------------------------------------

    def _signed_in(self) -> None:
        self._is_signed_in = True
        if self.with_inbox:
            self.say(type="subscribe", topic="inbox", ref="inbox")
        wanted = [member for member in self.members.values() if member.is_wanted]
        if not self.is_mine:
            for member in wanted:
                self._subscribe(member)
        else:
            for member in wanted:
                member.begin()
            since = {member.topic: str(member.since) for member in wanted if member.since is not None}
            if self._position is not None:
                since[MINE] = self._position
            asked = {"since": since} if since else {}
            self.say(type="subscribe", topic=MINE, ref=MINE, **asked)

    def _subscribe(self, member: Subscriber) -> None:
        if member.is_connected:
            return
        member.begin()
        # A second subscription to a topic has an id of its own, which its events carry.
        name = {"id": member.name, "with_id": True} if member.name != member.topic else {}
        since = {"since": member.since} if member.since is not None else {}
        self.say(type="subscribe", topic=member.topic, ref=f"{member.name}/subscribe", **name, **since)

    # --- hearing ----------------------------------------------------------------------------------------

    def heard(self, payload: bytes) -> None:
        now, frame = self._loop.time(), self.read(payload)
        member = self._whose(frame)
        if member is not None:
            member.told(frame, now)
            return
        match frame.type:
            case "hello":
                self._signed_in()
            case "ping":
                self.say(type="pong")
            case "subscribed" if frame.id == MINE:
                self._told_all(frame)
            case "conversation_joined":
                self._joined(frame)
            case "message_received" if frame.data is not None:
                self.notices.append((now, frame.data.conversation_id))
            case "error":
                self._refused(frame, now)
        if frame.topic == MINE and frame.position:
            self._position = frame.position
        self.look()

    def _whose(self, frame: Frame) -> Subscriber | None:
        """The member that a frame is for: who asked, or whose subscription it is."""
        if isinstance(frame.ref, str) and "/" in frame.ref:
            return self.members.get(frame.ref.rpartition("/")[0])
        if isinstance(frame.id, str) and frame.id in self.members:
            return self.members[frame.id]
        return self.members.get(frame.topic)

    def _told_all(self, frame: Frame) -> None:
        self._is_told_all = True
        for member in self.members.values():
            position = frame.positions.get(member.topic)
            if position is None:
                member.is_wanted = False
                member.let_go(REMOVED)
            elif not member.is_here:
                member.stands_from(int(position.partition("-")[0]), position)

    def _joined(self, frame: Frame) -> None:
        member = self.members.get(f"conversation.{frame.conversation_id}")
        if member is not None and not member.is_here:
            member.stands_from(frame.conversation_seq, "")

    def _refused(self, frame: Frame, now: float) -> None:
        if frame.retry_after_ms:
            self._wait = frame.retry_after_ms / 1000
        if frame.ref == MINE:
            self._loop.call_later(self._wait or 0.5, self._again)
        elif frame.retry_after_ms:
            self.hints.append(now + self._wait)  # the error precedes a close: reconnect after this time
        else:
            self.errors.append(frame.code or "")

    def _again(self) -> None:
        if self._is_signed_in and not self._is_told_all:
            for member in self.members.values():
                member.let_go(AGAIN)
            self._signed_in()


class Subscriber(Member):
    """A member on a page, in one conversation; with a name if the page has several there."""

    def __init__(self, page: Page, place: Place, *, rng: random.Random, name: str = "") -> None:
        super().__init__(place, port=page._port, rng=rng, dialect=Native)  # noqa: SLF001 - never used
        self.page = page
        self.hints = page.hints
        self.topic = f"conversation.{place.conversation}"
        self.name = name or self.topic
        #: Whether it wants to be subscribed, and was not refused for good.
        self.is_wanted = False

    # --- what a scenario asks of it ---------------------------------------------------------------------

    def come(self) -> None:
        self.is_wanted = True
        self.page.seat(self)

    async def leave(self) -> None:
        await self.page.leave()

    async def vanish(self) -> None:
        await self.page.vanish()

    def unsubscribe(self) -> None:
        """End the subscription; `come` resumes it."""
        self.is_wanted = False
        if self.is_connected:
            self.page.say(type="unsubscribe", id=self.name, ref=f"{self.name}/unsubscribe")

    def ask(self, **command: Any) -> None:
        if self._ready.is_set():
            self.page.say(conversation_id=self.receiver.conversation, **command)

    @property
    def is_connected(self) -> bool:
        """Whether it is subscribed, or has asked to be."""
        return self._connection is not None

    @property
    def is_out(self) -> bool:
        return not self.is_wanted and not self.is_connected

    @property
    def is_finished(self) -> bool:
        return self.is_out or self.page.is_finished

    # --- what its page tells it -------------------------------------------------------------------------

    def begin(self) -> None:
        """Note that a subscription was asked for."""
        self._socket = self.page.socket
        self.opened()

    def stands_from(self, seq: int, position: str) -> None:
        """Note that it is live from here on, perhaps without having asked (`mine`)."""
        self.is_wanted = True
        if not self.is_connected:
            self.since = None
            self.begin()
        self._placed(Frame(type="subscribed", seq=seq, position=position), self._loop.time())

    def let_go(self, close_code: int | None) -> None:
        """Note that the subscription ended. Sends are still answered: the socket is open."""
        self._stop_listening(close_code)
        self.page.look()

    def hang_up(self, close_code: int | None, detail: str) -> None:
        """Note that the socket closed."""
        self._socket = None
        self._cut_off(close_code, detail)

    def told(self, frame: Frame, now: float) -> None:
        asked = frame.ref.rpartition("/")[2] if isinstance(frame.ref, str) else ""
        match frame.type:
            case "unsubscribed":
                self._unsubscribed(frame.code)
            case "error" if asked == "subscribe":
                self._not_let_in(frame)
            case "error" if asked == "unsubscribe":
                pass  # the subscription had been refused, or was over
            case _:
                super().told(frame, now)
                if frame.type == "member_removed" and frame.user_id == self.receiver.user:
                    self._removed()
        self.page.look()

    def _removed(self) -> None:
        if self.page.is_mine and self.is_here:  # while `mine` resumes, this conversation may follow
            self.is_wanted = False
            self.let_go(REMOVED)

    def _unsubscribed(self, code: str | None) -> None:
        if code is None:
            self.let_go(None)
            if self.is_wanted:  # it wants to come again meanwhile
                self.page.seat(self)
        elif code == NOT_YOURS:
            self.is_wanted = False
            self.let_go(REMOVED)
        else:
            self.let_go(AGAIN)
            self._loop.call_later(0.5, self._again)

    def _not_let_in(self, frame: Frame) -> None:
        if frame.retryable or frame.code in SENT_AGAIN:
            self.let_go(AGAIN)
            self._loop.call_later((frame.retry_after_ms or 500) / 1000, self._again)
        else:
            self.is_wanted = False
            self.let_go(REMOVED if frame.code == NOT_YOURS else WRONG)

    def _again(self) -> None:
        if self.is_wanted:
            self.page.seat(self)

    def _new_ref(self, send: Send) -> str:
        self._refs += 1
        return f"{self.name}/{self._refs}"
