"""Selectors: questions about conversations on behalf of a user; they decide who may see what.

`membership` says who is a member and from where on they may read · `messages` reads the history · `activity`
orders conversations · `conversations` shows them.
"""

from chat.selectors.activity import Activity, ListPosition
from chat.selectors.conversations import (
    DEFAULT_PAGE,
    MAX_PAGE,
    Unread,
    conversation_of,
    conversations_before,
    conversations_of,
    conversations_to_note,
    heads_of_conversations,
    latest_memberships,
    members_of,
    unread_in,
)
from chat.selectors.membership import (
    Membership,
    Share,
    active_owners,
    departures_of,
    membership_for,
    memberships_for,
    memberships_of,
    topic_number,
    without_owner,
)
from chat.selectors.messages import (
    HistoryPage,
    Receipt,
    ShownMessage,
    history,
    receipts_in,
    unread_count,
)

__all__ = [
    "DEFAULT_PAGE",
    "MAX_PAGE",
    "Activity",
    "HistoryPage",
    "ListPosition",
    "Membership",
    "Receipt",
    "Share",
    "ShownMessage",
    "Unread",
    "active_owners",
    "conversation_of",
    "conversations_before",
    "conversations_of",
    "conversations_to_note",
    "departures_of",
    "heads_of_conversations",
    "history",
    "latest_memberships",
    "members_of",
    "membership_for",
    "memberships_for",
    "memberships_of",
    "receipts_in",
    "topic_number",
    "unread_count",
    "unread_in",
    "without_owner",
]
