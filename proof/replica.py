"""A replica: the state that a native client keeps. Frames in, state out; no clock, no socket.

A replica keeps its subscriptions as `docs/protocols/native.md` tells a client to. Each state is a snapshot
and the events after it: the snapshot's `last_seq` says which events it includes, and `view` adds the others.
If the server sends an event twice, leaves one out, or sends one that a snapshot included, that is noted in
`faults`.

Subscriptions use `with_id`, so that a topic may be subscribed to twice; those of `inbox` do not, since its
events have an `id` of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

Frame = dict[str, Any]


class Replica:
    """All subscriptions of one socket, by id."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.feeds: dict[Any, FeedState] = {}
        self.faults: list[str] = []

    def subscribe(self, id_: Any, topic: str, *, snapshot: int = 200) -> Frame:
        """The command that subscribes, or resumes a known subscription after the connection was lost."""
        known = self.feeds.get(id_)
        if known is None:
            kind = {"inbox": Inbox, "mine": Mine}.get(topic, Talk)
            known = self.feeds[id_] = kind(self, id_, topic)
        known.is_live = False
        since = known.since
        resuming = {} if since is None else {"since": since}
        named = {} if topic == "inbox" else {"with_id": True}
        return {"type": "subscribe", "id": id_, "topic": topic, "snapshot": snapshot, **named, **resuming}

    def forget(self, id_: Any) -> Frame:
        """The command that ends a subscription."""
        del self.feeds[id_]
        return {"type": "unsubscribe", "id": id_}

    def hear(self, frame: Frame) -> list[Frame]:
        """Take a frame; returns the commands to send because of it."""
        kind = frame["type"]
        if kind == "ack":
            asking = self.feeds.get(frame["ref"])
            if asking is not None and "result" in frame:
                asking.show(frame["result"])
            return []
        feed = self._feed_of(frame)
        if feed is None:
            return []  # about no subscription, or about one that was ended meanwhile
        if kind == "subscribed":
            feed.is_live = True
            feed.begin(frame)
            return list(feed.missing())
        if kind == "resync":
            feed.is_live = feed.is_live or frame["topic"] == feed.topic
            feed.begin_anew(frame)
        elif kind == "unsubscribed":
            feed.is_over = True
        elif kind == "error":
            feed.is_over = not frame["retryable"]
            if frame["code"] != "not_a_participant" and feed.is_over:
                feed.fault(f"was answered {frame['code']}")
        else:
            return list(feed.event(frame))
        return []

    def _feed_of(self, frame: Frame) -> FeedState | None:
        if frame.get("topic") == "inbox" and frame["type"] not in ("subscribed", "unsubscribed", "resync"):
            inbox = next((feed for feed in self.feeds.values() if feed.topic == "inbox"), None)
            # Before its snapshot an inbox gets nothing: such an event is for the subscription before it.
            return None if inbox is None or not (inbox.is_live or inbox.places) else inbox
        return self.feeds.get(frame.get("id"))


class FeedState:
    """The state of one subscription."""

    def __init__(self, replica: Replica, id_: Any, topic: str) -> None:
        self.replica, self.id, self.topic = replica, id_, topic
        #: The seq and position of each topic that the subscription covers.
        self.places: dict[str, tuple[int, str]] = {}
        self.is_live = False
        self.is_over = False

    @property
    def since(self) -> Any:
        """The `since` to resume from; None at first."""
        place = self.places.get(self.topic)
        return None if place is None else place[1]

    def begin(self, subscribed: Frame) -> None:
        """Take the answer to `subscribe`."""
        raise NotImplementedError

    def begin_anew(self, resync: Frame) -> None:
        """Drop what is known of a topic. Subscriptions ask for snapshots here, so only `mine` has this."""
        raise NotImplementedError

    def event(self, frame: Frame) -> Iterator[Frame]:
        """Take an event; yields the commands to send because of it."""
        raise NotImplementedError

    def missing(self) -> Iterator[Frame]:
        """The commands that ask for what events left out; sent again when they failed."""
        yield from ()

    def show(self, result: Frame) -> None:
        """Take the answer to such a command."""

    def fault(self, what: str) -> None:
        """Note a fault of the server."""
        self.replica.faults.append(
            f"user {self.replica.user_id}, subscription {self.id} ({self.topic}): {what}"
        )

    def moves(self, frame: Frame, *, without_gap: bool) -> bool:
        """Move to an event's seq; notes a fault, and is False, if it does not follow its topic's others."""
        topic, seq = frame["topic"], frame["seq"]
        last, _ = self.places.get(topic, (None, ""))
        if last is not None and seq <= last:
            self.fault(f"{topic} {seq} was told after {last}")
            return False
        if last is not None and without_gap and seq != last + 1:
            self.fault(f"{topic} {seq} was told right after {last}")
        self.places[topic] = seq, frame["position"]
        return True

    def go_on(self, subscribed: Frame) -> None:
        """Check that a resume ended at the seq in the answer, and take that as the new place."""
        last, _ = self.places.get(self.topic, (0, ""))
        if subscribed["resumed"] and last != subscribed["seq"]:
            self.fault(f"was resumed up to {last}, and {subscribed['seq']} is said")
        self.places[self.topic] = subscribed["seq"], subscribed["position"]


class Talk(FeedState):
    """The state of `conversation.<id>`: the newest messages, and the others' receipts."""

    def __init__(self, replica: Replica, id_: Any, topic: str) -> None:
        super().__init__(replica, id_, topic)
        self.messages: dict[int, Frame] = {}
        self.receipts: dict[int, tuple[int, int]] = {}

    def begin(self, subscribed: Frame) -> None:
        page = subscribed["snapshot"]
        self.go_on(subscribed)
        if subscribed["resumed"]:
            return
        if page["last_seq"] != subscribed["seq"]:
            self.fault(f"the page ends at {page['last_seq']}, the snapshot at {subscribed['seq']}")
        self.messages = {row["message_id"]: row | {"is_shown": True} for row in page["results"]}

    def begin_anew(self, resync: Frame) -> None:
        self.fault("was told to load what it asked for as a snapshot")

    def event(self, frame: Frame) -> Iterator[Frame]:
        kind = frame["type"]
        if kind == "receipt":
            known = self.receipts.get(frame["user_id"], (0, 0))
            said = frame["delivered_seq"], frame["read_seq"]
            self.receipts[frame["user_id"]] = max(known[0], said[0]), max(known[1], said[1])
        elif "seq" in frame and self.moves(frame, without_gap=True):
            self._change(kind, frame)
            if kind == "message_edited" and frame["content"] is None:
                yield from self.missing()

    def missing(self) -> Iterator[Frame]:
        for row in self.messages.values():
            if row["content"] is None:  # some member may not read it; the history shows it to those who may
                here = {"conversation_id": row["conversation_id"], "before": row["seq"] + 1, "limit": 1}
                yield {"type": "messages", "ref": self.id, **here}

    def show(self, result: Frame) -> None:
        for row in result["results"]:
            known = self.messages.get(row["message_id"])
            if known is not None and known["content"] is None and known["edited_at"] <= row["edited_at"]:
                known |= {"content": row["content"], "edited_at": row["edited_at"]}

    def _change(self, kind: str, frame: Frame) -> None:
        if kind == "message":
            self.messages[frame["message_id"]] = frame | {"deleted_at": None}
            return
        row = self.messages.get(frame.get("message_id", 0))
        if row is None:
            if kind == "message_deleted" and frame["message_seq"] == frame["seq"]:  # in the message's place
                self.messages[frame["message_id"]] = frame | {"content": "", "edited_at": None}
        elif kind == "message_edited":
            if row["edited_at"] == frame["edited_at"] and "is_shown" in row:
                self.fault(f"the edit {frame['seq']} was in the snapshot")
            row.pop("is_shown", None)
            row |= {"content": frame["content"], "edited_at": frame["edited_at"]}
        elif kind == "message_deleted":
            if row["deleted_at"] is not None and "is_shown" in row:
                self.fault(f"the deletion {frame['seq']} was in the snapshot")
            row.pop("is_shown", None)
            row |= {"content": "", "deleted_at": frame.get("deleted_at")}

    def view(self) -> dict[int, tuple[str, bool]]:
        """By seq: the present text, and whether the message is deleted."""
        return {row["seq"]: (row["content"], row["deleted_at"] is not None) for row in self.messages.values()}


class Inbox(FeedState):
    """The state of `inbox`: its entries, and the unread count."""

    def __init__(self, replica: Replica, id_: Any, topic: str) -> None:
        super().__init__(replica, id_, topic)
        self.entries: dict[int, Frame] = {}
        self.unread = 0

    def begin(self, subscribed: Frame) -> None:
        self.places[self.topic] = subscribed["seq"], subscribed["position"]
        if subscribed["resumed"]:
            if self.unread != subscribed["unread_count"]:
                self.fault(f"{self.unread} unread are known, and {subscribed['unread_count']} are said")
            return
        page = subscribed["snapshot"]
        said = page["last_seq"], page["unread_count"]
        if said != (subscribed["seq"], subscribed["unread_count"]):
            self.fault(f"the page stands at {said}, the snapshot at {subscribed['seq']}")
        self.entries = {row["id"]: {**row, "is_unread": row["read_at"] is None} for row in page["results"]}
        self.unread = subscribed["unread_count"]

    def begin_anew(self, resync: Frame) -> None:
        self.fault("was told to load what it asked for as a snapshot")

    def event(self, frame: Frame) -> Iterator[Frame]:
        if "seq" in frame and self.moves(frame, without_gap=False):
            if frame["type"] == "notifications_read":
                for id_ in self.entries if frame["ids"] is None else frame["ids"]:
                    if id_ in self.entries:
                        self.entries[id_]["is_unread"] = False
                self.unread = frame["unread_count"]
            else:
                known = self.entries.get(frame["id"])
                if known is None or not known["is_unread"]:
                    self.unread += 1
                elif known["count"] == frame["count"]:
                    self.fault(f"entry {frame['id']} was in the snapshot")
                self.entries[frame["id"]] = frame | {"is_unread": True}
        yield from ()

    def view(self) -> tuple[int, dict[int, tuple[str, int, bool]]]:
        """The unread count; and by id, each entry's kind, count, and whether it is unread."""
        return self.unread, {
            id_: (entry["type"], entry["count"], entry["is_unread"]) for id_, entry in self.entries.items()
        }


class Mine(FeedState):
    """The state of `mine`: the user's conversations with their titles, members and unread counts."""

    def __init__(self, replica: Replica, id_: Any, topic: str) -> None:
        super().__init__(replica, id_, topic)
        self.told: dict[int, OneOfMine] = {}

    @property
    def since(self) -> Any:
        return {topic: position for topic, (_, position) in self.places.items()} or None

    def begin(self, subscribed: Frame) -> None:
        positions = subscribed["positions"]
        for topic, (last, _) in list(self.places.items()):
            if topic != self.topic and topic not in positions:
                del self.places[topic]  # the user left it
                self.told.pop(_number(topic), None)
            elif topic != self.topic and subscribed["resumed"] and last != _seq(positions[topic]):
                self.fault(f"{topic} was resumed up to {last}, and {positions[topic]} is said")
        for topic, position in positions.items():
            self.places[topic] = _seq(position), position
        self.places[self.topic] = subscribed["seq"], subscribed["position"]
        for row in subscribed["snapshot"]["results"]:
            if row["id"] in self.told or f"conversation.{row['id']}" in positions:
                self._one(row["id"]).show(row)

    def begin_anew(self, resync: Frame) -> None:
        self.places[resync["topic"]] = resync["seq"], resync["position"]
        self.told.pop(_number(resync["topic"]), None)

    def event(self, frame: Frame) -> Iterator[Frame]:
        if frame["topic"] == self.topic:
            yield from self._of_mine(frame)
        elif "seq" in frame and self.moves(frame, without_gap=True):
            self._one(_number(frame["topic"])).events.append(frame)

    def _of_mine(self, frame: Frame) -> Iterator[Frame]:
        number = frame["conversation_id"]
        topic = f"conversation.{number}"
        if frame["type"] == "conversation_read":
            if number in self.told:
                self.told[number].read(frame)
        elif not self.moves(frame, without_gap=False):
            pass
        elif frame["type"] == "conversation_left":
            self.told.pop(number, None)
            self.places.pop(topic, None)
        else:
            joined = frame["conversation_seq"]
            known = self.told.pop(number, None)
            one = self._one(number)
            one.is_joined = True
            one.events = [event for event in known.events if event["seq"] > joined] if known else []
            if not one.events:
                self.places[topic] = joined, str(joined)
            yield self._ask_for(number)

    def _ask_for(self, number: int) -> Frame:
        return {"type": "conversation", "conversation_id": number, "ref": self.id}

    def missing(self) -> Iterator[Frame]:
        for number, one in self.told.items():
            if one.is_joined and not one.is_shown:
                yield self._ask_for(number)

    def show(self, result: Frame) -> None:
        one = self.told.get(result["id"])
        if one is not None and one.is_joined:  # the user has not left again meanwhile
            one.show(result)

    def _one(self, number: int) -> OneOfMine:
        return self.told.setdefault(number, OneOfMine(self))

    def view(self) -> dict[int, Frame]:
        """By id: the title, the members with their roles, and the unread count."""
        return {number: one.view() for number, one in self.told.items() if one.is_joined}


class OneOfMine:
    """One conversation of `mine`: its row, and the events after that."""

    _ROW: ClassVar[Frame] = {"title": None, "members": [], "unread_count": 0, "read_seq": 0, "last_seq": 0}

    def __init__(self, feed: Mine) -> None:
        self._feed = feed
        self.row: Frame = self._ROW
        #: The last unread count with its cursor, and the seq at which it was counted.
        self.counted: Frame = self._ROW
        self.events: list[Frame] = []
        #: Events may come before `conversation_joined`, and after `conversation_left`.
        self.is_joined = False

    @property
    def is_shown(self) -> bool:
        """Whether its row has come."""
        return self.row is not self._ROW

    def show(self, row: Frame) -> None:
        """Take the row as a list shows it."""
        self.row, self.is_joined = row, True
        self.read(row)

    def read(self, said: Frame) -> None:
        """Take a cursor with its unread count, unless a newer one is known."""
        if (said["read_seq"], said["last_seq"]) >= (self.counted["read_seq"], self.counted["last_seq"]):
            self.counted = said

    def view(self) -> Frame:
        """The conversation as it is now."""
        title = self.row["title"]
        members = {member["user_id"]: (member["username"], member["role"]) for member in self.row["members"]}
        unread = self.counted["unread_count"]
        for event in self.events:
            if event["seq"] > self.row["last_seq"]:
                title = event["title"] if event["type"] == "conversation_renamed" else title
                _change_members(members, event)
            if event["seq"] > self.counted["last_seq"]:
                unread += self._more_unread(event)
        return {"title": title, "members": members, "unread": unread}

    def _more_unread(self, event: Frame) -> int:
        if event.get("sender_id") == self._feed.replica.user_id:
            return 0
        read = self.counted["read_seq"]
        if event["type"] == "message":
            return int(event["seq"] > read)
        if event["type"] == "message_deleted" and event["message_seq"] is not None:
            # A tombstone in the message's own place counts one more, which the later deletion takes back.
            return int(event["message_seq"] > read) * (1 if event["message_seq"] == event["seq"] else -1)
        return 0


def _change_members(members: dict[int, tuple[str, str]], event: Frame) -> None:
    kind, who = event["type"], event.get("user_id", 0)
    if kind == "member_removed":
        members.pop(who, None)
    elif kind in ("member_added", "member_role_changed"):
        members[who] = event["username"], event["role"]
    elif kind == "member_renamed" and who in members:
        members[who] = event["username"], members[who][1]


def _number(topic: str) -> int:
    return int(topic.partition(".")[2])


def _seq(position: str) -> int:
    return int(position.partition("-")[0])
