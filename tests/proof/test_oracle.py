"""The oracle finds every broken invariant, names it, and finds nothing where all were kept."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.history import Ack, Attempt, Connection, Evidence, Heard, Interval, Window
from proof.lateness import due
from proof.oracle import counts, judge
from proof.verdict import Violation
from tests.proof.histories import (
    ANA,
    BRUNO,
    CONVERSATION,
    clean,
    connection,
    heard,
    receiver,
    row,
    send,
)

pytestmark = pytest.mark.stack("small")


def broken(evidence: Evidence) -> dict[str, int]:
    return counts(judge(evidence))


def hears(*connections) -> Evidence:
    """Ana hears everything as she should, and Bruno hears what is given here."""
    evidence = clean()
    evidence.receivers = [receiver(ANA), receiver(BRUNO, *connections)]
    return evidence


def test_everything_heard_once_and_in_order_breaks_nothing():
    assert judge(clean()) == []


def test_missed_messages_that_come_with_a_resume_break_nothing():
    first = connection(1)
    first.closed_at = 1.5

    assert judge(hears(first, connection(2, 3, opened_at=9.0, since=1))) == []


def test_repeated_send_that_is_one_row_breaks_nothing():
    evidence = clean()
    evidence.sends[0].attempts.insert(0, Attempt(0.5, "closed", 0.6))
    evidence.sends[0].acks.append(Ack(4.0, 101, 1, duplicate=True))

    assert judge(evidence) == []


# ── I1 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_i1_acknowledged_message_without_a_row():
    evidence = clean()
    evidence.rows = evidence.rows[:2]
    evidence.receivers = [receiver(ANA, connection(1, 2)), receiver(BRUNO, connection(1, 2))]
    evidence.ended_at = 4.0  # otherwise it is late as well

    assert [str(found) for found in judge(evidence)] == [
        "I1: id-3 ('said 3', user 1 in conversation 7) was acknowledged and is 0 rows"
    ]


def test_violation_names_whose_promise_it_was():
    evidence = clean()
    evidence.rows = evidence.rows[:2]
    evidence.ended_at = 4.0

    assert [found.seat for found in judge(evidence)] == [
        (CONVERSATION, ANA),
        (CONVERSATION, ANA),
        (CONVERSATION, BRUNO),
    ]
    assert Violation("I1", "message 9 at seq 3 in conversation 7").seat is None


def test_i1_acknowledged_message_stored_twice():
    evidence = clean()
    evidence.rows = [*evidence.rows, row(3)._replace(message_id=104, seq=4)]
    evidence.ended_at = 4.0

    assert broken(evidence) == {"I1": 1}


def test_i1_acknowledged_as_another_message_than_it_is():
    evidence = clean()
    evidence.sends[1].acks.append(Ack(2.5, message_id=109, seq=2, duplicate=True))

    assert broken(evidence) == {"I1": 1}


def test_i1_stored_with_another_text_than_was_said():
    evidence = clean()
    evidence.sends[1].content = "said something else"

    assert broken(evidence) == {"I1": 1}


def test_i1_row_that_no_send_explains():
    evidence = clean()
    evidence.rows = [*evidence.rows, row(3)._replace(message_id=104, seq=4, client_id="")]
    for each in evidence.receivers:
        each.connections[0].frames.append(Heard(3.5, "message", 4, 104, "said 3"))

    assert [str(found) for found in judge(evidence)] == [
        "I1: message 104 at seq 4 in conversation 7 ('said 3') is a row that no send explains"
    ]


def edited(text: str = "said better") -> Evidence:
    """Ana edits her first message at seq 4, and both are told."""
    evidence = clean()
    evidence.edits = {101: {text}}
    evidence.rows = [row(1)._replace(content=text, is_changed=True), row(2), row(3)]
    evidence.heads = {CONVERSATION: 4}
    for each in evidence.receivers:
        each.connections[0].frames.append(Heard(4.2, "message_edited", 4, 101, text))
    return evidence


def test_edit_that_everybody_is_told_breaks_nothing():
    assert judge(edited()) == []


def test_i1_row_with_a_text_that_nobody_gave_it():
    evidence = edited()
    evidence.rows = [evidence.rows[0]._replace(content="said by nobody"), *evidence.rows[1:]]

    assert broken(evidence) == {"I1": 1}


# ── I2 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_i2_message_that_is_no_row():
    evidence = clean()
    for each in evidence.receivers:
        each.connections[0].frames.append(Heard(5.0, "message", 4, 104, "rolled back"))

    found = judge(evidence)

    assert counts(found) == {"I2": 2}
    assert "message 104 at seq 4 ('rolled back'), which is no row" in found[0].says


def test_i2_text_that_is_not_the_rows():
    evidence = hears()
    frames = evidence.receivers[1].connections[0].frames
    frames[1] = frames[1]._replace(content="said too")

    assert broken(evidence) == {"I2": 1, "I4": 1}


def test_i2_invented_text_of_a_message_that_was_edited_later():
    evidence = edited()
    for each in evidence.receivers:
        each.connections[0].frames[0] = each.connections[0].frames[0]._replace(content="invented")

    assert broken(evidence) == {"I2": 2}


@pytest.mark.parametrize("wrong", [{"content": "invented"}, {"message_id": 999}, {"content": ""}])
def test_i2_edit_that_nobody_made(wrong):
    evidence = edited()
    for each in evidence.receivers:
        each.connections[0].frames[3] = each.connections[0].frames[3]._replace(**wrong)

    assert broken(evidence) == {"I2": 2}


# ── I3 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_i3_seq_that_was_skipped():
    found = judge(hears(connection(1, 3)))

    assert counts(found) == {"I3": 1, "I6": 1}
    assert "without seq 2 before it" in found[0].says


def test_i3_seqs_in_the_wrong_order():
    evidence = hears()
    frames = evidence.receivers[1].connections[0].frames
    frames[1], frames[2] = frames[2], frames[1]

    assert broken(evidence) == {"I3": 2}


def test_i3_gap_between_two_connections():
    first = connection(1)
    first.closed_at = 1.5

    assert broken(hears(first, connection(3, opened_at=4.0, since=1))) == {"I3": 1, "I6": 1}


def test_i3_resume_that_ends_before_its_end():
    first, second = connection(1, 2), connection(opened_at=5.0, since=2)
    first.closed_at, second.subscribed_seq = 2.5, 3

    assert broken(hears(first, second)) == {"I3": 1, "I6": 1}


def test_event_told_just_before_the_position_of_a_socket_breaks_nothing():
    only = connection(1, 2, 3)
    only.subscribed_seq, only.subscribed_at = 1, 1.3

    assert judge(hears(only)) == []


def test_i3_event_that_comes_again_after_where_the_socket_stands():
    only = connection(1, 2, 3)
    only.subscribed_seq = 1

    assert broken(hears(only)) == {"I3": 1}


def test_i3_resync_for_a_position_that_was_told():
    first, second = connection(1, 2, 3), connection(opened_at=5.0, since=3)
    first.closed_at, second.resync = 4.0, "too_old"

    assert broken(hears(first, second)) == {"I3": 1}


@pytest.mark.parametrize(("reason", "found"), [("rejoined", {}), ("too_old", {"I3": 1})])
def test_resync_breaks_nothing_where_somebody_was_taken_back(reason, found):
    first, second = connection(1), connection(3, opened_at=9.0, since=1)
    first.closed_at, first.close_code = 1.5, 4404
    second.resync, second.subscribed_seq, second.subscribed_at = reason, 2, 9.0
    evidence = hears(first, second)
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 1), Interval(2)]}

    assert broken(evidence) == found


def test_i3_member_who_never_left_is_told_that_they_rejoined():
    first, second = connection(1, 2, 3), connection(opened_at=5.0, since=3)
    first.closed_at, second.resync = 4.0, "rejoined"

    assert broken(hears(first, second)) == {"I3": 1}


def test_resync_for_an_invented_position_breaks_nothing():
    only = connection(opened_at=5.0, since=99)
    only.resync, only.subscribed_seq = "unknown_position", 3
    evidence = hears(only)
    evidence.receivers[1].is_honest = False

    assert judge(evidence) == []


def test_i3_told_after_the_end():
    first = connection(1, 2, 3)
    first.closed_at = 3.0

    assert [str(found) for found in judge(hears(first))] == [
        "I3: user 2 in conversation 7 was told message 103 at seq 3 ('said 3') after the end"
    ]


def guides_page(*connections) -> Evidence:
    """Ana hears everything as she should, and Bruno has a page of the guide."""
    evidence = hears(*connections)
    evidence.heads = {CONVERSATION: 4}
    bruno = evidence.receivers[1]
    bruno.resumes, bruno.told_only = False, {1, 2, 3}
    for each in bruno.connections:
        each.subscribed_seq = None
    ana = evidence.receivers[0].connections[0]
    ana.frames.append(Heard(4.0, "member_removed", 4))
    return evidence


def test_page_of_the_guide_is_owed_messages_while_it_is_there_and_nothing_else():
    first = connection(1)
    first.closed_at = 1.5

    assert judge(guides_page(connection(1, 2, 3))) == []  # seq 4 is no message
    assert judge(guides_page(first, connection(3, opened_at=2.5))) == []  # 2 was sent while the page was away
    assert judge(guides_page(first, connection(opened_at=9.0))) == []  # nothing was sent since the page came


def test_event_that_is_no_message_leaves_no_gap_on_a_page_of_the_guide():
    evidence = guides_page(connection(1, 2, 3))
    bruno = evidence.receivers[1]
    bruno.told_only = {1, 3}
    del bruno.connections[0].frames[1]
    evidence.rows = [row(1), row(3)]
    evidence.sends = [send(1), send(3)]
    evidence.receivers[0].connections[0].frames[1] = Heard(2.2, "member_added", 2)

    assert judge(evidence) == []


def test_i3_page_of_the_guide_that_misses_one_in_between():
    assert broken(guides_page(connection(1, 3))) == {"I3": 1, "I6": 1}


def test_i6_page_of_the_guide_that_is_not_told_the_last():
    assert broken(guides_page(connection(1, 2))) == {"I6": 2}  # never told, and sent before the end


# ── I4 and I5 ────────────────────────────────────────────────────────────────────────────────────────────


def test_i4_two_receivers_with_different_messages_at_one_seq():
    evidence = hears()
    for who, at in ((0, 3), (1, 3)):
        frames = evidence.receivers[who].connections[0].frames
        frames.append(Heard(5.0, "message_edited", at + 1, 101 + who, "edited"))
    evidence.edits = {101: {"edited"}, 102: {"edited"}}

    assert broken(evidence) == {"I4": 1}


def test_tombstone_in_place_of_a_message_breaks_nothing():
    evidence = hears(connection(1, 2, 3))
    evidence.rows = [row(1)._replace(content="", is_changed=True), row(2), row(3)]
    frames = evidence.receivers[1].connections[0].frames
    frames[0] = Heard(1.2, "message_deleted", 1, 101)

    assert judge(evidence) == []


def test_i5_message_told_twice():
    only = connection(1, 2, 3)
    only.frames.append(heard(3, at=3.5)._replace(seq=4))  # at a place where the table has nothing
    evidence = hears(only)
    evidence.ended_at = 4.0

    assert broken(evidence) == {"I2": 1, "I5": 1}


def test_i5_one_client_id_in_two_messages():
    evidence = clean()
    double = row(3)._replace(message_id=104, seq=4)
    evidence.sends[2].acks.clear()  # otherwise it breaks I1
    evidence.rows = [*evidence.rows, double]
    for each in evidence.receivers:
        each.connections[0].frames.append(Heard(3.5, "message", 4, 104, "said 3", "id-3"))

    assert broken(evidence) == {"I5": 2, "I8": 1}


# ── I6 ───────────────────────────────────────────────────────────────────────────────────────────────────


def late(at: float) -> Evidence:
    """Bruno hears the third message only at this time."""
    evidence = hears()
    evidence.receivers[1].connections[0].frames[2] = heard(3, at=at)
    return evidence


def test_i6_message_that_comes_too_late():
    assert [found.says for found in judge(late(9.1))] == ["user 2 in conversation 7 heard seq 3 1.0 s late"]


def test_message_that_waited_for_a_fault_to_pass_breaks_nothing():
    evidence = late(14.0)
    evidence.faults = [Window(2.0, 10.0)]

    assert judge(evidence) == []


def test_i6_message_that_comes_too_late_after_the_fault():
    evidence = late(15.5)
    evidence.faults = [Window(2.0, 10.0)]

    assert broken(evidence) == {"I6": 1}


def test_i6_fault_that_was_over_before_excuses_nothing():
    evidence = late(9.1)
    evidence.faults = [Window(0.0, 2.9)]

    assert broken(evidence) == {"I6": 1}


def test_i6_socket_that_closed_before_it_stood_excuses_nothing_for_good():
    evidence = late(15.5)
    evidence.receivers[1].connections.insert(0, Connection(0.1, closed_at=0.2, close_code=1006))

    assert broken(evidence) == {"I6": 1}


def test_faults_in_a_row_move_the_moment_on():
    assert due(1.0, [Window(2.0, 4.0), Window(8.0, 12.0), Window(30.0, 31.0)], 5.0) == 17.0


def test_i6_member_who_was_cut_off_and_is_not_let_in_again():
    only = connection(1)
    only.closed_at, only.close_code = 1.5, 1006

    assert [found.says for found in judge(hears(only))] == [
        "user 2 in conversation 7 was cut off and is not back 18 s later"
    ]


def test_i6_member_who_is_let_in_and_never_told_where_they_stand():
    first = connection(1)
    first.closed_at, first.close_code = 1.5, 1006
    second = Connection(3.0, since=1)

    assert broken(hears(first, second)) == {"I6": 1}


def test_a_member_who_left_is_not_waited_for():
    only = connection(1)
    only.closed_at = 1.5

    assert judge(hears(only)) == []


def test_i6_deletion_that_nobody_is_told():
    evidence = clean()
    evidence.rows = [row(1)._replace(content="", is_changed=True), row(2), row(3)]
    evidence.heads = {CONVERSATION: 4}

    assert [found.says for found in judge(evidence)] == [
        f"user {user} in conversation 7 stands at seq 3, and the conversation at 4" for user in (ANA, BRUNO)
    ]


def test_receiver_who_left_or_may_not_read_the_last_event_does_not_miss_it():
    evidence = clean()
    evidence.heads = {CONVERSATION: 4}
    evidence.receivers[0].connections[0].closed_at = 10.0
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 3)]}

    assert judge(evidence) == []


def thrown_out(code: int) -> Evidence:
    """The server closes Bruno's socket after the first message, and he does not come back."""
    only = connection(1)
    only.closed_at, only.close_code = 1.5, code
    return hears(only)


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404])
def test_i6_member_who_is_sent_away_for_good_and_should_not_be(code):
    assert [found.says for found in judge(thrown_out(code))] == [
        f"user 2 in conversation 7 was sent away for good with {code}"
    ]


def test_i6_member_who_is_told_farewell_by_the_server_and_is_not_back():
    assert broken(thrown_out(1000)) == {"I6": 1}


@pytest.mark.parametrize("code", [4400, 4401, 4403])
def test_member_who_was_to_be_sent_away_is_not_waited_for(code):
    evidence = thrown_out(code)
    evidence.sent_away = {BRUNO: code}

    assert judge(evidence) == []


def test_i6_member_who_is_sent_away_with_another_code_than_was_due():
    evidence = thrown_out(4401)
    evidence.sent_away = {BRUNO: 4403}

    assert broken(evidence) == {"I6": 1}


def test_member_who_was_removed_is_not_waited_for():
    evidence = thrown_out(4404)
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 1)]}

    assert judge(evidence) == []


def test_i6_member_who_was_taken_back_and_is_sent_away_all_the_same():
    only = connection(3, opened_at=2.9, since=2)
    only.closed_at, only.close_code = 3.5, 4404
    evidence = hears(only)
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 1), Interval(2)]}

    assert broken(evidence) == {"I6": 1}


def test_member_who_knocks_while_removed_is_not_waited_for():
    only = Connection(1.5, since=0, closed_at=1.6, close_code=4404)
    evidence = hears(only)
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 1), Interval(2)]}

    assert judge(evidence) == []


# ── I7 ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_i7_event_after_the_removal():
    evidence = hears()
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 2)]}

    assert broken(evidence) == {"I7": 1}


def came_after_the_second() -> Evidence:
    """Bruno may read from seq 3 on, and Ana edits her first message at seq 4."""
    evidence = edited()
    only = evidence.receivers[1].connections[0]
    only.subscribed_seq, only.frames = 2, only.frames[2:]
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(2)]}
    return evidence


def test_i7_new_text_of_a_message_from_before_they_came():
    found = judge(came_after_the_second())

    assert counts(found) == {"I7": 1}
    assert "of a message at seq 1" in found[0].says


@pytest.mark.parametrize("without_text", [[BRUNO], [ANA, BRUNO]])
def test_edit_that_keeps_its_text_from_later_members_breaks_nothing(without_text):
    evidence = came_after_the_second()
    for each in evidence.receivers:
        if each.user in without_text:
            frames = each.connections[0].frames
            frames[-1] = frames[-1]._replace(content="")

    assert judge(evidence) == []


def test_messages_missed_before_a_removal_are_not_owed_to_a_member_added_again():
    evidence = hears(connection(3, opened_at=2.9, since=0))
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 1), Interval(2)]}

    assert judge(evidence) == []


def test_i3_sent_away_before_the_removal_was_told():
    only = connection(1)
    only.closed_at, only.close_code = 2.1, 4404
    evidence = hears(only)
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 2)]}

    assert [found.says for found in judge(evidence)] == [
        "user 2 in conversation 7 was sent away without seq 2"
    ]


def test_sleeping_receiver_is_not_late():
    evidence = late(14.0)
    evidence.receivers[1].asleep = [Window(2.0, 10.0)]

    assert judge(evidence) == []


def test_message_a_member_may_not_read_is_not_missed():
    evidence = hears(connection(1, 2))
    evidence.readable = {(CONVERSATION, BRUNO): [Interval(0, 2)]}

    assert judge(evidence) == []


# ── I8 ───────────────────────────────────────────────────────────────────────────────────────────────────


def unanswered() -> Evidence:
    evidence = clean()
    evidence.sends[2].acks.clear()
    return evidence


def test_i8_send_that_was_never_answered():
    evidence = unanswered()
    evidence.sends[2].attempts = [Attempt(3.0)]

    assert broken(evidence) == {"I8": 1}


def test_i8_socket_that_closes_after_the_end_is_no_answer():
    evidence = unanswered()
    evidence.sends[2].attempts = [Attempt(3.0, "closed", evidence.ended_at + 1)]

    assert broken(evidence) == {"I8": 1}


def test_send_that_was_said_just_before_the_end_breaks_nothing():
    evidence = unanswered()
    evidence.sends[2].attempts, evidence.ended_at = [Attempt(3.0)], 7.9

    assert judge(evidence) == []


def test_i8_repeated_send_that_is_two_rows():
    evidence = unanswered()
    evidence.sends[2].attempts = [Attempt(3.0, "closed", 3.1), Attempt(3.2, "error", 3.3, "unavailable")]
    evidence.rows = [*evidence.rows, row(3)._replace(message_id=104, seq=4)]
    evidence.ended_at = 4.0

    assert broken(evidence) == {"I8": 1}


def refused(code: str) -> Evidence:
    """Ana's third message is refused each time she sends it, and is no row."""
    evidence = unanswered()
    evidence.sends[2].attempts = [Attempt(3.0 + again, "error", 3.1 + again, code) for again in range(16)]
    evidence.rows = evidence.rows[:2]
    evidence.receivers = [receiver(ANA, connection(1, 2)), receiver(BRUNO, connection(1, 2))]
    return evidence


def test_i8_send_that_is_refused_until_the_end_though_all_is_well():
    found = judge(refused("unavailable"))

    assert counts(found) == {"I8": 1}
    assert "16 attempts, the last of them answered unavailable" in found[0].says


def test_send_that_was_refused_for_good_breaks_nothing():
    evidence = refused("message_too_long")
    evidence.sends[2].is_refused = True

    assert judge(evidence) == []


def test_send_that_was_refused_until_the_fault_had_passed_breaks_nothing():
    evidence = refused("unavailable")
    evidence.faults = [Window(2.0, 15.0)]

    assert judge(evidence) == []


# ── any history ──────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def kept_promises(draw: st.DrawFn) -> Evidence:
    """Two receivers who come and go at random times, and miss nothing."""
    total = draw(st.integers(1, 12))
    receivers = []
    for user in (ANA, BRUNO):
        cuts = sorted(draw(st.sets(st.integers(1, total), max_size=4)))
        connections, told = [], 0
        for end in [*cuts, total]:
            opened_at = told + 0.3 if told else 0.0
            part = connection(*range(told + 1, end + 1), opened_at=opened_at, since=told or None)
            part.closed_at = math.inf if end == total else end + 0.25
            connections.append(part)
            told = end
        receivers.append(receiver(user, *connections))
    numbers = range(1, total + 1)
    return Evidence([send(n) for n in numbers], receivers, [row(n) for n in numbers], ended_at=total + 10.0)


@given(kept_promises())
def test_no_history_of_kept_promises_is_called_broken(evidence):
    assert judge(evidence) == []


@given(kept_promises(), st.randoms(use_true_random=False))
def test_any_frame_taken_away_or_doubled_is_found(evidence, random):
    victim = random.choice([c for r in evidence.receivers for c in r.connections if c.frames])
    place = random.randrange(len(victim.frames))
    if random.random() < 0.5:
        victim.frames.insert(place, victim.frames[place])
        expected = {"I3", "I5"}
    else:
        del victim.frames[place]
        expected = {"I3", "I6"}

    assert expected & broken(evidence).keys()
