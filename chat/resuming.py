"""Where a client that comes back goes on in a conversation, and what sockets that resume together share."""

from __future__ import annotations

from chat import selectors
from chat.errors import NotAParticipantError
from chat.receipts import receipts_told
from chat.selectors import Membership, Share
from realtime import BatchLoader, FrameBatch, Position, id_in, positions

#: Lookups that sockets which connect together share.
membership_of: BatchLoader[Share, Membership] = BatchLoader(selectors.memberships_for)
departure_of: BatchLoader[Share, int] = BatchLoader(selectors.departures_of)
receipts_in: BatchLoader[int, list[FrameBatch]] = BatchLoader(receipts_told)


def conversation_id_of(text: str) -> int:
    """The id in a text; a NotAParticipantError where it cannot be one, as for any unknown conversation."""
    conversation_id = id_in(text)
    if conversation_id is None:
        raise NotAParticipantError
    return conversation_id


async def resumed_from(text: str, membership: Membership) -> Position | str:
    """The position to resume from, or the reason why that is impossible.

    Whether the log has its mark is seen by reading on from there: see `on_misled`.
    """
    since = positions.parse(text)
    if since is None or since.seq > membership.head:
        return "unknown_position"
    if since.seq < membership.readable_after:
        # A newcomer has missed nothing. A member who came back may have missed what is no longer theirs.
        if await departure_of((membership.user_id, membership.conversation_id)):
            return "rejoined"
        if since.mark:
            return "unknown_position"  # they were here before, in another past
        since = Position(membership.readable_after)
    # The mark of what was pruned cannot be compared.
    is_gone = since.seq < membership.floor or (since.mark and since.seq == membership.floor)
    return "too_old" if is_gone else since


def history_url(membership: Membership) -> str:
    """Where a client that cannot resume loads what there is."""
    return f"/api/conversations/{membership.conversation_id}/messages/?after={membership.readable_after}"
