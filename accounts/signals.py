"""Django signals that accounts send when a row changes; `receivers.py` receives its own."""

from __future__ import annotations

from django.dispatch import Signal

#: A saved user may no longer use the sessions it has: `user`, and `disabled` (else the password changed).
#: Sent inside the transaction of the save.
access_withdrawn = Signal()

#: A saved user has another username: `user`. Sent inside the transaction of the save.
renamed = Signal()

#: An account was disabled or enabled: `user`. Sent inside the transaction of the save.
account_switched = Signal()
