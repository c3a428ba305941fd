"""The services of the chat: every write to a conversation, and its announcement.

`conversations` creates and names them · `members` adds, removes and gives roles · `heirs` appoints owners ·
`names` tells new names and takes old ones out · `sends` stores messages in batches · `messages` edits and
deletes them · `receipts` moves cursors · `unread` writes the entries of inboxes.
"""

from chat.services.conversations import create_conversation, open_conversation, rename_conversation, set_title
from chat.services.heirs import (
    account_was_switched,
    ensure_owners,
    user_is_deleted,
    users_will_be_deleted,
)
from chat.services.members import add_members, change_role, remove_member, was_removed, will_be_removed
from chat.services.messages import (
    clean_client_id,
    clean_content,
    delete_message,
    delete_messages_of,
    edit_message,
    moderate_message,
)
from chat.services.names import forget_name, tell_new_name
from chat.services.receipts import Cursor, mark_delivered, mark_read, move_cursors
from chat.services.sends import Draft, Outcome, Sent, send_messages
from chat.services.unread import conversations_moved, note_unread, take_moved

__all__ = [
    "Cursor",
    "Draft",
    "Outcome",
    "Sent",
    "account_was_switched",
    "add_members",
    "change_role",
    "clean_client_id",
    "clean_content",
    "conversations_moved",
    "create_conversation",
    "delete_message",
    "delete_messages_of",
    "edit_message",
    "ensure_owners",
    "forget_name",
    "mark_delivered",
    "mark_read",
    "moderate_message",
    "move_cursors",
    "note_unread",
    "open_conversation",
    "remove_member",
    "rename_conversation",
    "send_messages",
    "set_title",
    "take_moved",
    "tell_new_name",
    "user_is_deleted",
    "users_will_be_deleted",
    "was_removed",
    "will_be_removed",
]
