"""Small histories by hand: one conversation, two listeners, three messages, every promise kept."""

from __future__ import annotations

from proof.history import Ack, Attempt, Connection, Evidence, Heard, Receiver, Row, Send

CONVERSATION = 7
ANA, BRUNO = 1, 2


def send(number: int) -> Send:
    """Ana's message `number`, sent at that second and acknowledged soon after."""
    ack = Ack(number + 0.1, message_id=100 + number, seq=number)
    attempt = Attempt(float(number), "ack", number + 0.1)
    return Send(CONVERSATION, ANA, f"id-{number}", f"said {number}", float(number), [attempt], [ack])


def row(number: int) -> Row:
    return Row(CONVERSATION, number, 100 + number, ANA, f"id-{number}", f"said {number}")


def heard(number: int, *, at: float | None = None) -> Heard:
    when = number + 0.2 if at is None else at
    return Heard(when, "message", number, 100 + number, f"said {number}", f"id-{number}")


def connection(*numbers: int, opened_at: float = 0.0, since: int | None = None) -> Connection:
    """A socket that was told these messages; it begins before the first of them, or at `since`."""
    seq = (max(numbers) if numbers else since) if since is not None else 0
    frames = [heard(number, at=max(opened_at, number + 0.2)) for number in numbers]
    return Connection(opened_at, since, seq, opened_at, frames=frames)


def receiver(user: int, *connections: Connection) -> Receiver:
    return Receiver(user, CONVERSATION, connections=list(connections) or [connection(1, 2, 3)])


def clean() -> Evidence:
    """Three messages, heard by both."""
    return Evidence(
        sends=[send(1), send(2), send(3)],
        receivers=[receiver(ANA), receiver(BRUNO)],
        rows=[row(1), row(2), row(3)],
        ended_at=20.0,
    )
