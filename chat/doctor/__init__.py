"""The chat's examinations for `manage.py doctor`: what must hold of stored conversations.

`conversations` have a log and members · `history` compares messages with the log · `members` and cursors
agree with the log · `owners` can sign in · `inboxes` count what is unread · `logs` divides the conversations
into pieces of bounded size.
"""

from chat.doctor import conversations, history, inboxes, members, owners

__all__ = ["conversations", "history", "inboxes", "members", "owners"]
