"""Questions about conversations, asked on behalf of somebody: who may see what is decided here.

`membership` says who is in and from where they may read · `messages` what was said ·
`activity` orders conversations · `conversations` shows them.
"""

from chat.selectors.activity import ListPosition, Place
from chat.selectors.conversations import (
    DEFAULT_PAGE,
    MAX_PAGE,
    conversation_of,
    conversations_before,
    conversations_of,
    conversations_to_note,
    heads_of_conversations,
    members_of,
)
from chat.selectors.membership import (
    Membership,
    Share,
    active_owners,
    departures_of,
    membership_for,
    memberships_for,
    topic_number,
    without_owner,
)
from chat.selectors.messages import (
    HistoryPage,
    Receipt,
    Said,
    history,
    receipts_in,
    unread_count,
)

__all__ = [
    "DEFAULT_PAGE",
    "MAX_PAGE",
    "HistoryPage",
    "ListPosition",
    "Membership",
    "Place",
    "Receipt",
    "Said",
    "Share",
    "active_owners",
    "conversation_of",
    "conversations_before",
    "conversations_of",
    "conversations_to_note",
    "departures_of",
    "heads_of_conversations",
    "history",
    "members_of",
    "membership_for",
    "memberships_for",
    "receipts_in",
    "topic_number",
    "unread_count",
    "without_owner",
]
