"""Conversations on the native socket: the feeds `conversation.<id>` and `mine`, and the commands.

`companions` are topics that come along with a conversation, of apps above this one.
"""

from chat.native import asking, conversation, mine, speaking  # noqa: F401 (they register themselves)
