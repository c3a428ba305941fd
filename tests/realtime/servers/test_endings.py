"""A connection that ends because of its peer is counted under one of our reasons."""

from __future__ import annotations

import logging

from realtime.rates import Bucket
from realtime.servers import endings, metrics
from realtime.servers.endings import LINES, ended


def test_ended_connection_is_counted_and_logged_by_its_reason(caplog, monkeypatch):
    counted = []
    monkeypatch.setattr(metrics.CONNECTIONS_ENDED, "add", counted.append)

    with caplog.at_level(logging.INFO):
        ended("too_big", client="127.0.0.1", path="/ws/chat/1/", close_code=1009)

    assert counted == ["too_big"]
    assert [record.reason for record in caplog.records] == ["too_big"]


def test_flood_of_endings_is_counted_and_does_not_fill_the_log(caplog, monkeypatch):
    counted = []
    monkeypatch.setattr(metrics.CONNECTIONS_ENDED, "add", counted.append)
    monkeypatch.setattr(endings, "_lines", Bucket())
    monkeypatch.setattr(endings.time, "monotonic", lambda: 1.0)

    with caplog.at_level(logging.INFO):
        for _ in range(5_000):
            ended("connections", client="127.0.0.1", path="")

    assert len(counted) == 5_000
    assert len(caplog.records) == LINES.burst
