"""The replica of a client: how it takes frames, and the differences it finds from a server."""

from typing import Any

from proof.replica import Replica

ME, OTHER = 7, 8
TOPIC = "conversation.1"


def event(kind: str, seq: int, topic: str = TOPIC, **fields: Any) -> dict[str, Any]:
    return {"id": "a", "topic": topic, "type": kind, "seq": seq, "position": f"{seq}-x", **fields}


def message(seq: int, sender: int = OTHER, content: str = "hello") -> dict[str, Any]:
    row: Any = {"message_id": 100 + seq, "sender_id": sender, "content": content, "conversation_id": 1}
    return event("message", seq, **row, edited_at=None)


def shown(seq: int, **fields: Any) -> dict[str, Any]:
    return message(seq) | {"deleted_at": None, **fields}


def subscribed(seq: int, topic: str, **fields: Any) -> dict[str, Any]:
    answer = {
        "type": "subscribed",
        "ref": None,
        "id": "a",
        "topic": topic,
        "seq": seq,
        "position": f"{seq}-x",
    }
    return answer | {"resumed": False, "reason": None, "snapshot": None} | fields


def page(seq: int, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"last_seq": seq, "results": list(rows)}


def replica_of(topic: str, answer: dict[str, Any]) -> Replica:
    replica = Replica(ME)
    assert "since" not in replica.subscribe("a", topic)
    replica.hear(answer)
    return replica


def talk(*rows: dict[str, Any], seq: int = 2) -> Replica:
    return replica_of(TOPIC, subscribed(seq, TOPIC, snapshot=page(seq, *rows)))


def mine(unread: int = 1, read_seq: int = 0, last_seq: int = 2) -> Replica:
    row = {"id": 1, "title": "old", "members": [{"user_id": ME, "username": "me", "role": "owner"}]}
    row |= {"unread_count": unread, "read_seq": read_seq, "last_seq": last_seq}
    answer = subscribed(4, "mine", positions={TOPIC: f"{last_seq}-x"}, snapshot={"results": [row]})
    return replica_of("mine", answer)


#: A refusal that no client gets that asks as it should.
REFUSED = {"type": "error", "code": "id_in_use", "id": "a", "ref": None, "retryable": False}


def test_history_is_the_page_and_what_follows():
    replica = talk(shown(1), shown(2))
    for frame in (
        message(3, content="new"),
        event("message_edited", 4, message_id=101, content="edited", edited_at="t"),
        event("message_deleted", 5, message_id=102, message_seq=2, deleted_at="t"),
        event("message_deleted", 6, message_id=50, message_seq=0, deleted_at="t"),
    ):
        assert replica.hear(frame) == []
    assert replica.feeds["a"].view() == {1: ("edited", False), 2: ("", True), 3: ("new", False)}
    assert replica.faults == []
    assert replica.subscribe("a", TOPIC)["since"] == "6-x"


def test_text_that_an_edit_does_not_tell_is_asked_for_again_and_again():
    replica = talk(shown(1), shown(2))
    asked = [{"type": "messages", "ref": "a", "conversation_id": 1, "before": 2, "limit": 1}]
    assert replica.hear(event("message_edited", 3, message_id=101, content=None, edited_at="t1")) == asked
    assert replica.hear(subscribed(3, TOPIC, resumed=True)) == asked
    replica.hear({"type": "ack", "ref": "a", "result": page(3, shown(1, content="edited", edited_at="t1"))})
    assert replica.feeds["a"].view()[1] == ("edited", False)


def test_tombstones_stand_where_the_message_and_its_edits_stood():
    replica = talk(shown(1), shown(2))
    for seq, place in ((3, 3), (4, None), (5, 3)):
        replica.hear(event("message_deleted", seq, message_id=103, message_seq=place, deleted_at="t"))
    assert (replica.feeds["a"].view()[3], replica.faults) == (("", True), [])


def test_deletion_of_what_was_shown_may_begin_with_the_tombstone_of_an_edit():
    replica = talk(shown(1), shown(2))
    for seq, place in ((3, None), (4, 2)):
        replica.hear(event("message_deleted", seq, message_id=102, message_seq=place, deleted_at="t"))
    assert (replica.feeds["a"].view()[2], replica.faults) == (("", True), [])


def test_subscription_that_may_be_asked_for_again_is_not_over():
    replica = talk(shown(1))
    replica.subscribe("b", TOPIC)
    busy = {"type": "error", "code": "unavailable", "id": "b", "ref": None, "retryable": True}
    assert replica.hear(busy) == []
    assert (replica.feeds["b"].is_live, replica.feeds["b"].is_over, replica.faults) == (False, False, [])


def test_events_of_an_ended_inbox_are_not_those_of_the_next():
    replica = Replica(ME)
    replica.subscribe("b", "inbox")
    told = {"id": 9, "topic": "inbox", "type": "payment_completed", "seq": 3, "position": "3-x", "count": 1}
    assert replica.hear(told) == []
    assert "since" not in replica.subscribe("b", "inbox")


def test_event_that_comes_twice_too_late_or_not_at_all_is_a_fault():
    for frames, words in (
        ([message(2)], "2 was told after 2"),
        ([message(4)], "4 was told right after 2"),
        ([event("message_edited", 3, message_id=101, content="x", edited_at="t")], "was in the snapshot"),
        ([event("message_deleted", 3, message_id=102, message_seq=2, deleted_at="t")], "was in the snapshot"),
        ([subscribed(5, TOPIC, resumed=True)], "resumed up to 2, and 5 is said"),
        ([REFUSED], "answered id_in_use"),
    ):
        replica = talk(shown(1, edited_at="t"), shown(2, deleted_at="t"))
        for frame in frames:
            replica.hear(frame)
        assert words in replica.faults[0]


def test_unread_are_those_of_the_row_and_others_messages_after_it():
    replica = mine()
    for frame in (
        message(3),
        message(4, sender=ME),
        event("message_deleted", 5, message_seq=3, sender_id=OTHER),
        event("message_deleted", 6, message_seq=4, sender_id=ME),
        message(7),
        # Written and edited and deleted, before it could be told.
        event("message_deleted", 8, message_seq=8, sender_id=OTHER),
        event("message_deleted", 9, message_seq=None, sender_id=OTHER),
        event("message_deleted", 10, message_seq=8, sender_id=OTHER),
        event("conversation_renamed", 11, title="new"),
        event("member_added", 12, user_id=OTHER, username="other", role="member"),
    ):
        replica.hear(frame)
    view = replica.feeds["a"].view()[1]
    assert view == {"title": "new", "members": {ME: ("me", "owner"), OTHER: ("other", "member")}, "unread": 2}


def test_conversation_that_was_not_shown_yet_is_asked_for_again():
    replica = mine()
    joined = {"id": "a", "topic": "mine", "type": "conversation_joined", "seq": 5, "position": "5-x"}
    asked = [{"type": "conversation", "conversation_id": 2, "ref": "a"}]
    assert replica.hear(joined | {"conversation_id": 2, "conversation_seq": 0}) == asked
    assert list(replica.feeds["a"].missing()) == asked
    row = {"id": 2, "title": "", "members": [], "unread_count": 0, "read_seq": 0, "last_seq": 0}
    replica.hear({"type": "ack", "ref": "a", "result": row})
    assert list(replica.feeds["a"].missing()) == []


def test_unread_are_counted_anew_where_it_is_said():
    replica = mine()
    read = {"id": "a", "topic": "mine", "type": "conversation_read", "conversation_id": 1}
    replica.hear(message(3))
    replica.hear(read | {"read_seq": 3, "unread_count": 1, "last_seq": 4})
    replica.hear(message(4))
    replica.hear(read | {"read_seq": 2, "unread_count": 9, "last_seq": 3})  # this frame comes late
    replica.hear(message(5))
    assert replica.feeds["a"].view()[1]["unread"] == 2


def test_replica_asks_what_a_joined_conversation_is():
    replica = mine()
    replica.hear(event("conversation_left", 5, "mine", conversation_id=1))
    assert replica.feeds["a"].view() == {}
    asked = replica.hear(event("conversation_joined", 6, "mine", conversation_id=1, conversation_seq=9))
    assert asked == [{"type": "conversation", "conversation_id": 1, "ref": "a"}]
    replica.hear(message(10))
    row = {"id": 1, "title": "t", "members": [], "unread_count": 0, "read_seq": 9, "last_seq": 9}
    replica.hear({"type": "ack", "ref": "a", "result": row})
    assert replica.feeds["a"].view() == {1: {"title": "t", "members": {}, "unread": 1}}
    assert replica.subscribe("a", "mine")["since"] == {"mine": "6-x", TOPIC: "10-x"}
    assert replica.faults == []


def test_inbox_counts_what_is_unread():
    entry = {"id": 31, "type": "paid", "count": 1, "read_at": None}
    answer = subscribed(1, "inbox", unread_count=1, snapshot=page(1, entry) | {"unread_count": 1})
    replica = replica_of("inbox", answer)
    new = event("paid", 2, "inbox", count=1) | {"id": 32}
    replica.hear(new)
    replica.hear(event("notifications_read", 3, "inbox", ids=[31], unread_count=1))
    assert replica.feeds["a"].view() == (1, {31: ("paid", 1, False), 32: ("paid", 1, True)})
    replica.hear(new | {"seq": 4})
    assert "was in the snapshot" in replica.faults[0]
