"""Reads the environment and `.env` with types; a wrong value stops the start with one sentence.

The real environment wins over the file. An empty value counts as absent, so that `REDIS_URL=` in a compose
file means "no Redis".
"""

import ipaddress
import os
import re
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

#: HMAC-SHA256 is as strong as its key, up to its block of 32 bytes (RFC 7518 §3.2).
MIN_KEY_BYTES = 32

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}
_RATE = re.compile(r"[1-9][0-9]{0,8}/(s|min|h)(:[1-9][0-9]{0,8})?\Z")
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_REVISION = re.compile(r"[0-9A-Za-z._+-]{1,64}\Z")
_PASSWORD = re.compile(r"(://[^:/@]*:).+(?=@)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SettingError(ImproperlyConfigured):
    """A variable has a value with which the server must not start."""


class Environment:
    """The variables of this process. It remembers which of them were read."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self.asked_for: set[str] = set()
        #: Timeouts whose value was read as milliseconds.
        self.in_milliseconds: list[str] = []

    @classmethod
    def load(cls, directory: Path) -> "Environment":
        """The environment, completed by the file that `ENV_FILE` names, else by `.env` in `directory`."""

        class Reader(environ.Env):
            # A copy: child processes must not take the file's values for the real environment, or `runserver`
            # would keep the old values after the file was edited.
            ENVIRON = dict(os.environ)

        named = os.environ.get("ENV_FILE", "")
        if named and not Path(named).exists():
            raise SettingError(f"ENV_FILE is {named!r}: expected the path of a file that exists.")
        Reader.read_env(named or directory / ".env")
        environment = cls(Reader.ENVIRON)
        environment.asked_for.add("ENV_FILE")
        return environment

    def read(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        """The parsed value of a variable, or the default; `parse` raises ValueError for a wrong value."""
        self.asked_for.add(name)
        value = self._variables.get(name, "").strip()
        if not value:
            return default
        try:
            return parse(value)
        except ValueError as problem:
            why = f" ({problem})" if str(problem) else ""
            raise SettingError(f"{name} is {without_password(value)!r}{why}: expected {expected}.") from None

    def require(self, name: str, fulfilled: bool, expected: str) -> None:  # noqa: FBT001 - it reads as a sentence
        """Refuse a value that is valid alone, but not together with other variables."""
        if not fulfilled:
            raise SettingError(f"{name} is {self._variables.get(name, '')!r}: expected {expected}.")

    def text(self, name: str, default: str = "") -> str:
        """A text as it is."""
        return self.read(name, default, str, "a text")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """On or off."""

        def parse(value: str) -> bool:
            if value.lower() not in _YES | _NO:
                raise ValueError
            return value.lower() in _YES

        return self.read(name, default, parse, "on or off")

    def integer(self, name: str, default: int, *, minimum: int = 1, maximum: int) -> int:
        """A whole number within its bounds."""

        def parse(value: str) -> int:
            if not re.fullmatch(r"[0-9]{1,12}", value) or not minimum <= int(value) <= maximum:
                raise ValueError
            return int(value)

        return self.read(name, default, parse, f"a whole number from {minimum} to {maximum}")

    def duration(self, name: str, default: int, *, maximum: int) -> int:
        """Seconds: a whole number, or one with a unit, such as `15m` or `7d`."""

        def parse(value: str) -> int:
            found = _DURATION.match(value)
            seconds = int(found[1]) * _UNITS[found[2]] if found else 0
            if not 1 <= seconds <= maximum:
                raise ValueError
            return seconds

        return self.read(
            name, default, parse, f"seconds from 1 to {maximum}, or a time such as 15m, 12h or 7d"
        )

    def timeout(self, name: str, default: int) -> int:
        """Seconds; a number from 1,000 on can only mean milliseconds, and is remembered as such."""

        def parse(value: str) -> int:
            if not re.fullmatch(r"[0-9]{1,7}", value) or not 1 <= int(value) <= 3_600_000:
                raise ValueError
            if int(value) < 1000:
                return int(value)
            self.in_milliseconds.append(name)
            return max(1, round(int(value) / 1000))

        return self.read(name, default, parse, "seconds from 1 to 999, or milliseconds from 1000 to 3600000")

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        """One of a few words."""

        def parse(value: str) -> str:
            if value not in choices:
                raise ValueError
            return value

        return self.read(name, default, parse, " or ".join(choices))

    def url_path(self, name: str, default: str) -> str:
        """The path of a URL of this server, such as `/websocket`."""

        def parse(value: str) -> str:
            if not re.fullmatch(r"(/[A-Za-z0-9_.~-]+)+", value):
                raise ValueError
            return value

        return self.read(name, default, parse, "a path such as /websocket")

    def words(self, name: str, default: Collection[str] = ()) -> list[str]:
        """Texts separated by commas."""
        return self.read(name, list(default), comma_separated, "texts separated by commas")

    def packages(self, name: str, *, taken: Collection[str]) -> list[str]:
        """Names of importable Python packages, each once and none of `taken`."""
        packages = self.words(name)
        for package in packages:
            if not package.isidentifier() or package in taken or packages.count(package) > 1:
                raise SettingError(
                    f"{name} contains {package!r}: expected names of packages, each once and none of ours."
                )
            if find_spec(package) is None:
                raise SettingError(f"{name} contains {package!r}: expected a package on PYTHONPATH.")
        return packages

    def keys(self, name: str) -> list[str]:
        """Secrets separated by commas, each long enough not to be guessed; an error never shows them."""
        keys = self.words(name)
        for number, key in enumerate(keys, start=1):
            self._require_strong(f"{name}, key {number} of {len(keys)},", key)
        return keys

    def key(self, name: str) -> str:
        """A secret, which may be absent; else it must be long enough not to be guessed."""
        key = self.text(name)
        if key:
            self._require_strong(name, key)
        return key

    def directory(self, name: str) -> str:
        """An existing directory, or ""."""

        def parse(value: str) -> str:
            if not Path(value).is_dir():
                raise ValueError
            return value

        return self.read(name, "", parse, "a directory that exists")

    def revision(self, *names: str) -> str:
        """The commit that runs: the first of these variables with a value."""

        def parse(value: str) -> str:
            if not _REVISION.match(value):
                raise ValueError
            return value

        found = [
            self.read(name, "", parse, "a commit or a version: letters, digits, . _ + -") for name in names
        ]
        return next(filter(None, found), "")

    def secret_key(self, name: str) -> str:
        """The secret without which nothing starts."""
        key = self.text(name)
        if not key:
            raise SettingError(
                f"{name} is missing: expected at least {MIN_KEY_BYTES} random bytes. `scripts/dev` writes "
                'one to .env; elsewhere: python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        self._require_strong(name, key)
        return key

    def rate(self, name: str, default: str) -> str:
        """A rate limit: `off`, or a count per period and a burst."""

        def parse(value: str) -> str:
            if value != "off" and not _RATE.match(value):
                raise ValueError
            return value

        return self.read(name, default, parse, "off, or count/s|min|h:burst such as 10/s:30")

    def count_or_off(self, name: str, default: int, *, also_off: Collection[str] = ()) -> int:
        """A limit that is a plain number; `off` is 0, and so are other words for it."""

        def parse(value: str) -> int:
            if value in ("off", *also_off):
                return 0
            if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
                raise ValueError
            return int(value)

        return self.read(name, default, parse, "off or a whole number such as 20")

    def hosts(self, name: str, default: Collection[str], *, wildcard: bool) -> list[str]:
        """Host names as Django's ALLOWED_HOSTS takes them; `*` only where `wildcard` allows it."""
        hosts = self.words(name, default)
        for host in hosts:
            if host == "*" and not wildcard:
                raise SettingError(
                    f"{name} contains '*': expected the names of this server; '*' needs DEBUG=on."
                )
            if "/" in host or "://" in host:
                raise SettingError(
                    f"{name} contains {host!r}: expected a host name without scheme, path or port."
                )
        return hosts

    def origins(self, name: str, *, wildcard: bool) -> list[str]:
        """Origins such as `https://app.example.com`; `*` only where `wildcard` allows it."""
        origins = self.words(name)
        if "*" in origins and not wildcard:
            raise SettingError(f"{name} contains '*': expected full origins; '*' needs DEBUG=on.")
        return [origin if origin == "*" else self._origin(name, origin) for origin in origins]

    def networks(self, name: str, *, everyone: bool) -> list[str]:
        """Networks such as `10.0.0.0/8`; the whole internet only where `everyone` allows it."""
        networks = []
        for word in self.words(name):
            try:
                network = ipaddress.ip_network(word, strict=False)
            except ValueError:
                raise SettingError(
                    f"{name} contains {word!r}: expected an address or a network such as 10.0.0.0/8."
                ) from None
            if network.prefixlen == 0 and not everyone:
                raise SettingError(
                    f"{name} contains {word!r}, which lets anyone forge an address: expected the networks of "
                    "your proxies; the whole internet needs DEBUG=on."
                )
            networks.append(str(network))
        return networks

    def _origin(self, name: str, origin: str) -> str:
        parts = urlsplit(origin)
        problem = SettingError(
            f"{name} contains {origin!r}: expected scheme and host such as https://app.example.com."
        )
        try:
            port = parts.port
        except ValueError:
            raise problem from None
        rest = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "*" in parts.hostname or rest:
            raise problem
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        # As browsers write an origin: in lower case, with the port only where it is not the usual one.
        usual = port in (None, _DEFAULT_PORTS[parts.scheme])
        return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"

    def _require_strong(self, name: str, key: str) -> None:
        length = len(key.encode())
        if length < MIN_KEY_BYTES:
            raise SettingError(f"{name} has {length} bytes: expected at least {MIN_KEY_BYTES} random bytes.")


def comma_separated(value: str) -> list[str]:
    """The words between the commas, without the empty ones."""
    return [word.strip() for word in value.split(",") if word.strip()]


def without_password(value: str) -> str:
    """A value, which may be a URL, without a password in it, for error messages."""
    return _PASSWORD.sub(r"\1…", value)
