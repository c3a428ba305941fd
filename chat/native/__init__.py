"""Conversations on the native socket: a feed of one, a feed of all of one's own, and the commands.

`companions` are topics that come along with a conversation, of apps above this one.
"""

from chat.native import asking, conversation, mine, speaking  # noqa: F401 (they register themselves)
