"""Our settings: defaults with units, overridden by name."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import override_settings

from realtime.conf import Conf, conf
from realtime.rates import Rate


def test_default_holds_until_it_is_overridden_by_name():
    with override_settings(RELAIS={}):
        assert conf.limit_outbox_bytes == Conf.__dict__["limit_outbox_bytes"] == 256 * 1024
    with override_settings(RELAIS={"limit_outbox_bytes": 5}):
        assert (conf.limit_outbox_bytes, conf.replay_page) == (5, 500)
        with override_settings(RELAIS={"replay_page": 7}):
            assert (conf.limit_outbox_bytes, conf.replay_page) == (256 * 1024, 7)
        assert (conf.limit_outbox_bytes, conf.replay_page) == (5, 500)


def test_rate_may_be_written_as_text():
    with override_settings(RELAIS={"limit_sends": "3/min:9", "limit_typing": Rate(1, 1, 1)}):
        assert (conf.limit_sends, conf.limit_typing) == (Rate(3, 60, 9), Rate(1, 1, 1))
    with override_settings(RELAIS={"limit_sends": "off"}):
        assert conf.limit_sends.count == 0


def test_setting_that_does_not_exist_is_no_setting():
    with pytest.raises(AttributeError):
        _ = conf.outbox_bites


def test_settings_may_say_nothing_about_us(settings):
    del settings.RELAIS

    assert conf.bell_shards == 1


def test_thread_that_reads_first_shows_others_no_default():
    """All are read at the first look; another look meanwhile must find ours, not what holds without."""
    is_reading, may_go_on = threading.Event(), threading.Event()

    class Slow(dict[str, object]):
        def get(self, name: str, default: object = None) -> object:
            if not is_reading.is_set():
                is_reading.set()
                may_go_on.wait(5)
            return super().get(name, default)

    with override_settings(RELAIS=Slow(service_api_keys=("secret",))), ThreadPoolExecutor(2) as threads:
        first = threads.submit(lambda: conf.limit_outbox_bytes)
        assert is_reading.wait(5)
        second = threads.submit(lambda: conf.service_api_keys)

        assert second.result(5) == ("secret",)
        may_go_on.set()
        assert first.result(5) == 256 * 1024
