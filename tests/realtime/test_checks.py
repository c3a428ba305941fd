"""Unsafe or impossible settings stop every way to start, and safe ones stop none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from realtime.hub import reactions


def found(settings: Any) -> set[str | None]:
    return {message.id for message in run_checks(tags=["relais"])}


@pytest.fixture(autouse=True)
def production(settings: Any) -> None:
    settings.DEBUG = False
    settings.DEMO_ENABLED = False
    settings.ALLOWED_HOSTS = ["relais.example"]


def test_safe_settings_pass(settings):
    assert found(settings) == set()


def test_key_that_can_be_guessed_is_refused(settings):
    settings.SECRET_KEY = "x" * 31
    assert found(settings) == {"relais.E001"}
    settings.SECRET_KEY = "é" * 16  # 32 bytes
    assert found(settings) == set()


def test_old_key_signs_as_well_as_the_new_one(settings):
    settings.SECRET_KEY_FALLBACKS = ["x" * 40, "short"]

    assert found(settings) == {"relais.E001"}


def test_wildcards_are_for_developers(settings):
    settings.ALLOWED_HOSTS = ["relais.example", "*"]
    settings.RELAIS = {**settings.RELAIS, "allowed_origins": ("*",)}

    assert found(settings) == {"relais.E002", "relais.E003"}
    settings.DEBUG = True
    assert found(settings) == set()


def test_patterns_of_origins_are_for_developers(settings):
    settings.RELAIS = {**settings.RELAIS, "allowed_origin_patterns": (r"http://localhost\Z",)}

    assert found(settings) == {"relais.E003"}


def test_short_service_key_is_refused(settings):
    settings.RELAIS = {**settings.RELAIS, "service_api_keys": ("x" * 32, "y" * 31)}

    assert found(settings) == {"relais.E004"}


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ({"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}, {"relais.E005"}),
        ({}, {"relais.E006"}),
        ({"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}, set()),
        ({"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}, set()),
    ],
)
def test_layer_that_loses_messages_is_refused(settings, layers, problem):
    settings.CHANNEL_LAYERS = layers

    assert found(settings) == problem


@pytest.mark.parametrize(
    ("database", "problem"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, {"relais.E007"}),
        (
            {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "DEFERRED"}},
            {"relais.E007"},
        ),
        ({"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}, set()),
        ({"ENGINE": "django.db.backends.postgresql"}, set()),
    ],
)
def test_sqlite_that_would_fail_under_load_is_refused(settings, monkeypatch, database, problem):
    monkeypatch.setitem(settings.DATABASES, "default", database)

    assert found(settings) == problem


def test_demo_in_production_is_warned_about_and_starts(settings):
    settings.DEMO_ENABLED = True

    [warning] = run_checks(tags=["relais"])

    assert (warning.id, warning.is_serious()) == ("relais.W001", False)


def test_reaction_to_a_mistyped_event_is_reported(settings, monkeypatch):
    def end_member(_delivery: Any, _told: Any) -> None:
        raise AssertionError("no such event exists")

    monkeypatch.setattr(reactions, "_actions", {**reactions._actions, "member_remved": [end_member]})
    [message] = run_checks(tags=["relais"])
    assert message.id == "relais.W002"
    assert "end_member" in message.msg
    assert "'member_remved'" in message.msg
