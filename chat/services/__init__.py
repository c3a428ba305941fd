"""The verbs of the chat: every write to a conversation, and what is announced of it.

`conversations` makes them and names them · `members` come and go · `messages` are sent, edited,
deleted · `receipts` say how far somebody got · `unread` becomes entries of inboxes.
"""

from chat.services.conversations import create_conversation, open_conversation, rename_conversation, set_title
from chat.services.members import add_members, change_role, remove_member
from chat.services.messages import (
    Draft,
    Outcome,
    Sent,
    delete_message,
    edit_message,
    moderate_message,
    send_messages,
)
from chat.services.receipts import mark_delivered, mark_read
from chat.services.unread import note_unread

__all__ = [
    "Draft",
    "Outcome",
    "Sent",
    "add_members",
    "change_role",
    "create_conversation",
    "delete_message",
    "edit_message",
    "mark_delivered",
    "mark_read",
    "moderate_message",
    "note_unread",
    "open_conversation",
    "remove_member",
    "rename_conversation",
    "send_messages",
    "set_title",
]
