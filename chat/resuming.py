"""Resuming in a conversation: the position a client goes on from, and lookups shared by many sockets."""

from __future__ import annotations

from chat import selectors
from chat.errors import NotAParticipantError
from chat.receipts import receipts_told
from chat.selectors import Membership, Share
from realtime import BatchLoader, FrameBatch, Position, id_in, positions

#: Lookups that sockets share when they connect together.
membership_of: BatchLoader[Share, Membership] = BatchLoader(selectors.memberships_for)
departure_of: BatchLoader[Share, int] = BatchLoader(selectors.departures_of)
receipts_in: BatchLoader[int, list[FrameBatch]] = BatchLoader(receipts_told)


def conversation_id_of(text: str) -> int:
    """The id in a text; one that is no id raises NotAParticipantError, like any unknown conversation."""
    conversation_id = id_in(text)
    if conversation_id is None:
        raise NotAParticipantError
    return conversation_id


async def resumed_from(text: str, membership: Membership) -> Position | str:
    """The position to resume from, or the reason why the client cannot.

    A mark of another past is not found here, but when the log is read from the position: `on_misled`.
    """
    since = positions.parse(text)
    if since is None or since.seq > membership.head:
        return "unknown_position"
    if since.seq < membership.readable_after:
        # A new member has missed nothing. One who came back may have missed events they may no longer read.
        if await departure_of((membership.user_id, membership.conversation_id)):
            return "rejoined"
        if since.mark:
            return "unknown_position"  # a position from another past: in this one the user was no member then
        since = Position(membership.readable_after)
    # A pruned event is gone, and with it the mark to compare.
    is_gone = since.seq < membership.floor or (since.mark and since.seq == membership.floor)
    return "too_old" if is_gone else since


def history_url(membership: Membership) -> str:
    """The address from which a client that cannot resume loads the history."""
    return f"/api/conversations/{membership.conversation_id}/messages/?after={membership.readable_after}"
