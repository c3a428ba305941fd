"""Kinds: their words, the data they require, and the names they cannot have."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from notifications import kinds
from notifications.checks import check_kinds
from notifications.errors import InvalidDataError, UnknownKindError
from notifications.kinds import Kind
from realtime.events import Event


@pytest.fixture(autouse=True)
def _isolated(_own_registry: None) -> None:
    """Each test registers kinds for itself."""


@pytest.mark.parametrize(
    ("kind", "language", "title", "message"),
    [
        ("message_received", "fr", "Nouveau message", "John a envoyé un message"),
        ("message_received", "en", "New message", "John sent a message"),
        ("payment_completed", "fr", "Paiement confirmé", "Votre paiement a été traité"),
        ("payment_completed", "en", "Payment confirmed", "Your payment has been processed"),
        ("listing_published", "fr", "Annonce publiée", "Votre annonce est maintenant visible"),
        ("listing_published", "en", "Listing published", "Your listing is now visible"),
    ],
)
def test_kinds_of_the_guide_say_its_words(kind: str, language: str, title: str, message: str) -> None:
    assert kinds.get(kind).text({"sender": "John"}, language=language) == (title, message)


@pytest.mark.parametrize("default", ["en", "fr"])
@pytest.mark.parametrize(("language", "title"), [("en", "New message"), ("fr", "Nouveau message")])
def test_words_do_not_depend_on_the_servers_own_language(default: str, language: str, title: str) -> None:
    with override_settings(LANGUAGE_CODE=default):
        assert kinds.get("message_received").text({}, language=language).title == title


@pytest.mark.parametrize(
    ("language", "message"), [("en", "Someone sent a message"), ("fr", "Quelqu'un a envoyé un message")]
)
def test_missing_placeholder_becomes_the_kinds_neutral_words(language: str, message: str) -> None:
    assert kinds.get("message_received").text({}, language=language).message == message


def test_missing_placeholder_without_neutral_words_is_an_ellipsis() -> None:
    kind = Kind("invoice_due", title="Invoice", message="Invoice %(number)s is due")

    assert kind.text({}, language="en").message == "Invoice … is due"


def test_value_is_shown_as_it_is_and_not_longer_than_a_name() -> None:
    kind = kinds.get("message_received")

    assert (
        kind.text({"sender": "100% %(sender)s %d"}, language="en").message
        == "100% %(sender)s %d sent a message"
    )
    assert len(kind.text({"sender": "x" * 5000}, language="en").message) < 200


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"payment_id": "789"},
        {"payment_id": True},
        {"payment_id": None},
        {"payment_id": 1.5},
        {"other": 1},
    ],
)
def test_data_without_what_the_kind_requires_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError, match=r"data\.payment_id"):
        kinds.get("payment_completed").clean(data)


def test_data_may_hold_more_than_the_kind_requires() -> None:
    assert kinds.get("payment_completed").clean({"payment_id": 1, "shop": "A"}) == {
        "payment_id": 1,
        "shop": "A",
    }


@pytest.mark.parametrize(
    ("expected", "value", "fits"),
    [
        (bool, True, True),
        (bool, 1, False),
        (float, 1, True),
        (float, 1.5, True),
        (float, False, False),
        (str, "", True),
    ],
)
def test_types_mean_what_json_means(expected: type, value: object, fits: bool) -> None:
    kind = Kind("invoice_due", title="", message="", data={"value": expected})

    if fits:
        assert kind.clean({"value": value}) == {"value": value}
    else:
        with pytest.raises(InvalidDataError):
            kind.clean({"value": value})


def test_unknown_kind_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownKindError):
        kinds.get("lottery_won")


@pytest.mark.parametrize("name", ["", "Invoice", "invoice-due", "9lives", "x" * 65, "a b", "invoice\n"])
def test_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="no name"):
        kinds.register(Kind(name, title="", message=""))


@pytest.mark.parametrize(
    "name",
    [
        "session_revoked",
        "account_disabled",
        "sharing_changed",
        "message",
        "notifications_read",
        "error",
        "subscribed",
        "resync",
        "pong",
    ],
)
def test_type_of_another_event_cannot_be_a_kind(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="another event"):
        kinds.register(Kind(name, title="", message=""))

    assert not kinds.is_registered(name)


def test_kind_stays_registrable_after_it_was_sent() -> None:
    # The frames of a kind have its name as their type; these frames are not in its way.
    from notifications.events import Noticed, Notified, of_kind

    of_kind("payment_completed", Notified)
    of_kind("payment_completed", Noticed)

    kinds.register(kinds.get("payment_completed"))


def test_two_different_kinds_cannot_share_a_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="twice"):
        kinds.register(Kind("payment_completed", title="Paid", message="Paid"))


def test_event_declared_after_a_kind_is_found_by_the_system_check() -> None:
    kinds.register(Kind("test_door_opened", title="", message=""))
    assert check_kinds(None) == []

    class DoorOpened(Event, tag="test_door_opened", frozen=True):
        pass

    assert [problem.id for problem in check_kinds(None)] == ["relais.E020"]


def test_apps_kinds_are_found_like_admin_modules() -> None:
    assert not kinds.is_registered("invoice_due")

    with override_settings(INSTALLED_APPS=["notifications", "tests.notifications.invoices"]):
        apps.get_app_config("notifications").ready()

    assert kinds.get("invoice_due").text({"number": 7}, language="en").message == "Invoice 7 is due"
