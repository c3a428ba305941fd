"""Collections on the native socket: the feed `collection.<name>`, and the commands on rows."""

from changes.native import asking, collection, writing  # noqa: F401 (they register themselves)
