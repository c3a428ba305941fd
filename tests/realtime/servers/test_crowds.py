"""A crowd of connections waits to be accepted; none is dropped and has to try again a second later."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket

import pytest

from tests.servers import ServerProcess

pytestmark = pytest.mark.acceptance

#: More than Twisted's 50 and asyncio's 100.
CROWD = 300


def test_crowd_waits_to_be_accepted(server: ServerProcess) -> None:
    with contextlib.ExitStack() as crowd:
        os.kill(server.pid, signal.SIGSTOP)  # the server accepts nobody meanwhile
        crowd.callback(os.kill, server.pid, signal.SIGCONT)
        waiting = {}
        poll = select.poll()
        for _ in range(CROWD):
            each = crowd.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", server.port))
            waiting[each.fileno()] = each
            poll.register(each, select.POLLOUT)
        # On loopback a connection that has a place is there at once; another is tried again after 1 s.
        connected = {number for number, event in poll.poll(0) if event & select.POLLOUT}
        assert len(connected) == CROWD
