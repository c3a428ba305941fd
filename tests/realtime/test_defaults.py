"""Our settings have defaults with units, and are overridden by name."""

from __future__ import annotations

import pytest
from django.test import override_settings

from realtime.defaults import Conf, conf
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
