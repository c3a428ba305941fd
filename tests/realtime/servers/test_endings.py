"""A connection that ends because of its peer is counted under a reason of ours."""

from __future__ import annotations

import logging

from realtime import metrics
from realtime.servers.endings import ended


def test_ended_connection_is_counted_and_logged_by_its_reason(caplog, monkeypatch):
    counted = []
    monkeypatch.setattr(metrics.CONNECTIONS_ENDED, "add", counted.append)

    with caplog.at_level(logging.INFO):
        ended("too_big", client="127.0.0.1", path="/ws/chat/1/", close_code=1009)

    assert counted == ["too_big"]
    assert [record.reason for record in caplog.records] == ["too_big"]
