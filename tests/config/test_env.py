"""Reading the environment: types, defaults, and the message about a wrong value."""

import os
from pathlib import Path

import pytest

from config.env import Environment, SettingError
from realtime.rates import Rate


def environment(**variables: str) -> Environment:
    return Environment(variables)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no_such_package_anywhere", "expected a package on PYTHONPATH."),
        ("chat", "expected names of packages, each once and none of ours."),
        ("json,json", "expected names of packages, each once and none of ours."),
        ("../json", "expected names of packages, each once and none of ours."),
        ("a.b", "expected names of packages, each once and none of ours."),
    ],
)
def test_app_that_cannot_be_had_is_refused(value: str, expected: str) -> None:
    with pytest.raises(SettingError) as refused:
        environment(EXTRA_APPS=value).packages("EXTRA_APPS", taken=["chat"])

    assert str(refused.value) == f"EXTRA_APPS contains {value.split(',', maxsplit=1)[0]!r}: {expected}"


def test_apps_of_others_are_named() -> None:
    named = environment(EXTRA_APPS="json, html").packages("EXTRA_APPS", taken=["chat"])
    assert named == ["json", "html"]


@pytest.mark.parametrize("value", ["", "   "])
def test_empty_value_means_the_default(value: str) -> None:
    assert environment(PORT=value).integer("PORT", 8000, maximum=65535) == 8000


@pytest.mark.parametrize(
    ("value", "flag"), [("on", True), ("True", True), ("1", True), ("no", False), ("0", False)]
)
def test_flag_is_read(value: str, flag: bool) -> None:
    assert environment(DEBUG=value).flag("DEBUG", default=not flag) is flag


@pytest.mark.parametrize("value", ["0", "65536", "-1", "8e3", "eighty", "8000 # the usual one", "٨"])
def test_number_out_of_bounds_names_variable_value_and_bounds(value: str) -> None:
    with pytest.raises(SettingError) as refused:
        environment(PORT=value).integer("PORT", 8000, maximum=65535)

    assert str(refused.value) == f"PORT is {value!r}: expected a whole number from 1 to 65535."


@pytest.mark.parametrize("text", ["off", "10/s:30", "10/min", "1/h:1"])
def test_rate_is_one_the_core_understands(text: str) -> None:
    assert str(Rate.parse(environment(LIMIT_SENDS=text).rate("LIMIT_SENDS", "1/s"))).startswith(text)


@pytest.mark.parametrize("text", ["10", "10/day", "0/s:30", "10/s:0", "10/s:", "-1/s", "OFF", "10 /s"])
def test_wrong_rate_is_refused_as_the_core_would(text: str) -> None:
    with pytest.raises(SettingError, match=r"^LIMIT_SENDS is .*: expected off, or count/s"):
        environment(LIMIT_SENDS=text).rate("LIMIT_SENDS", "1/s")
    with pytest.raises(ValueError):  # noqa: PT011 - the core's own complaint, whatever it says
        Rate.parse(text)


@pytest.mark.parametrize(
    ("value", "seconds"), [("900", 900), ("900s", 900), ("15m", 900), ("12h", 43_200), ("7d", 604_800)]
)
def test_duration_may_have_a_unit(value: str, seconds: int) -> None:
    assert environment(TTL=value).duration("TTL", 1, maximum=31_536_000) == seconds


@pytest.mark.parametrize("value", ["0", "0d", "366d", "1y", "-1", "m", "1.5h", "15 m", "15M"])
def test_duration_that_is_none(value: str) -> None:
    with pytest.raises(SettingError, match=r"or a time such as 15m, 12h or 7d\."):
        environment(TTL=value).duration("TTL", 1, maximum=31_536_000)


@pytest.mark.parametrize(
    ("value", "seconds", "in_milliseconds"),
    [("1", 1, []), ("999", 999, []), ("1000", 1, ["T"]), ("1400", 1, ["T"]), ("30000", 30, ["T"])],
)
def test_timeout_of_a_thousand_and_more_is_milliseconds(
    value: str, seconds: int, in_milliseconds: list[str]
) -> None:
    read = environment(T=value)

    assert (read.timeout("T", 10), read.in_milliseconds) == (seconds, in_milliseconds)


@pytest.mark.parametrize("value", ["0", "-1", "3600001", "ten", "10s", "1e3"])
def test_timeout_that_is_none(value: str) -> None:
    with pytest.raises(SettingError, match="T is "):
        environment(T=value).timeout("T", 10)


@pytest.mark.parametrize("value", ["/websocket", "/a/b-c_d.e~f"])
def test_path_of_a_url(value: str) -> None:
    assert environment(P=value).url_path("P", "/x") == value


@pytest.mark.parametrize("value", ["websocket", "/", "/a/", "//a", "/a b", "/a?b", "/{a}", "https://x/a"])
def test_path_that_is_none(value: str) -> None:
    with pytest.raises(SettingError, match="expected a path such as /websocket"):
        environment(P=value).url_path("P", "/x")


def test_limit_may_be_off_in_other_words() -> None:
    assert environment(N="-1").count_or_off("N", 5, also_off=["-1"]) == 0
    with pytest.raises(SettingError):
        environment(N="-1").count_or_off("N", 5)


def test_count_may_be_off() -> None:
    assert environment(LIMIT_SOCKETS_PER_USER="off").count_or_off("LIMIT_SOCKETS_PER_USER", 20) == 0
    assert environment(LIMIT_SOCKETS_PER_USER="3").count_or_off("LIMIT_SOCKETS_PER_USER", 20) == 3
    with pytest.raises(SettingError):
        environment(LIMIT_SOCKETS_PER_USER="0").count_or_off("LIMIT_SOCKETS_PER_USER", 20)


def test_origins_are_written_as_browsers_write_them() -> None:
    given = "https://App.Example.com/, https://a.example:443,http://b.example:8080, http://[::1]:3000"

    origins = environment(ALLOWED_ORIGINS=given).origins("ALLOWED_ORIGINS", wildcard=False)

    assert origins == [
        "https://app.example.com",
        "https://a.example",
        "http://b.example:8080",
        "http://[::1]:3000",
    ]


@pytest.mark.parametrize(
    "origin",
    [
        "app.example.com",
        "ws://a.example",
        "https://",
        "https://*.example.com",
        "https://a.example/path",
        "https://user@a.example",
        "https://a.example:port",
        "https://a.example:99999",
        "null",
    ],
)
def test_text_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SettingError, match=r"^ALLOWED_ORIGINS contains .*: expected scheme and host"):
        environment(ALLOWED_ORIGINS=origin).origins("ALLOWED_ORIGINS", wildcard=False)


def test_wildcards_need_debug() -> None:
    anyone = environment(ALLOWED_HOSTS="a.example,*", ALLOWED_ORIGINS="*", TRUSTED_PROXIES="0.0.0.0/0")

    with pytest.raises(SettingError, match="needs DEBUG=on"):
        anyone.hosts("ALLOWED_HOSTS", (), wildcard=False)
    with pytest.raises(SettingError, match="needs DEBUG=on"):
        anyone.origins("ALLOWED_ORIGINS", wildcard=False)
    with pytest.raises(SettingError, match="needs DEBUG=on"):
        anyone.networks("TRUSTED_PROXIES", everyone=False)
    assert anyone.hosts("ALLOWED_HOSTS", (), wildcard=True) == ["a.example", "*"]
    assert anyone.origins("ALLOWED_ORIGINS", wildcard=True) == ["*"]
    assert anyone.networks("TRUSTED_PROXIES", everyone=True) == ["0.0.0.0/0"]


def test_host_with_a_scheme_is_refused() -> None:
    with pytest.raises(SettingError, match="expected a host name without scheme"):
        environment(ALLOWED_HOSTS="https://a.example").hosts("ALLOWED_HOSTS", (), wildcard=False)


def test_networks_are_normalised() -> None:
    networks = environment(TRUSTED_PROXIES="10.1.2.3/8, 127.0.0.1,::1").networks(
        "TRUSTED_PROXIES", everyone=False
    )

    assert networks == ["10.0.0.0/8", "127.0.0.1/32", "::1/128"]


def test_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingError) as refused:
        environment(SECRET_KEY="hunter2").secret_key("SECRET_KEY")

    assert str(refused.value) == "SECRET_KEY has 7 bytes: expected at least 32 random bytes."


def test_password_of_a_url_is_not_shown() -> None:
    def refuse(_value: str) -> None:
        raise ValueError

    with pytest.raises(SettingError) as refused:
        environment(DATABASE_URL="odd://relais:hun@te/r2@db/relais").read(
            "DATABASE_URL", None, refuse, "another"
        )

    assert "hun" not in str(refused.value)
    assert "r2" not in str(refused.value)


def test_environment_wins_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# a comment\nPORT=1111\nHOST='10.0.0.1'\nLOG_LEVEL=$HOME\n")
    monkeypatch.delenv("ENV_FILE", raising=False)
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.setenv("PORT", "2222")

    loaded = Environment.load(tmp_path)

    assert loaded.integer("PORT", 8000, maximum=65535) == 2222
    assert loaded.text("HOST") == "10.0.0.1"
    # Nothing is expanded: a key may begin with a dollar sign.
    assert loaded.text("LOG_LEVEL") == "$HOME"


def test_file_does_not_become_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").write_text("ONLY_IN_THE_FILE=1\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "other"))

    assert Environment.load(tmp_path).flag("ONLY_IN_THE_FILE") is True
    assert "ONLY_IN_THE_FILE" not in os.environ


def test_named_file_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "absent"))

    with pytest.raises(SettingError, match=r"^ENV_FILE is .*: expected the path of a file that exists"):
        Environment.load(tmp_path)
