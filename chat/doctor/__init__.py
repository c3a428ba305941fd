"""What must hold of conversations: the chat's examinations for `manage.py doctor`.

`conversations` have a log and members · `history`: the log tells the messages · `members` are those the log
says, `owners` can sign in · `inboxes` stand for what is unread · `logs` divides all of it into pieces of
bounded size.
"""

from chat.doctor import conversations, history, inboxes, members, owners

__all__ = ["conversations", "history", "inboxes", "members", "owners"]
