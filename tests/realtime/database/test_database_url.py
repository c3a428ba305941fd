"""DATABASE_URL becomes options with which a database neither loses nor blocks anything."""

from pathlib import Path

import pytest

from realtime.database.url import database

HERE = Path("/srv/relais")


def test_sqlite_waits_for_its_turn_and_survives_a_power_cut() -> None:
    described = database("sqlite:///data/db.sqlite3", directory=HERE, pool_size=20)

    assert described["NAME"] == HERE / "data/db.sqlite3"
    assert described["CONN_MAX_AGE"] == 0
    assert described["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert described["OPTIONS"]["timeout"] == 20
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        assert f"PRAGMA {pragma}" in described["OPTIONS"]["init_command"]


def test_absolute_sqlite_file_stays_where_it_is() -> None:
    described = database("sqlite:////var/lib/relais.sqlite3", directory=HERE, pool_size=20)

    assert described["NAME"] == Path("/var/lib/relais.sqlite3")


def test_postgresql_has_a_pool_and_gives_up_in_time() -> None:
    described = database(
        "postgres://ana:p%40ss@db.example:5433/relais?sslmode=require", directory=HERE, pool_size=12
    )

    assert (described["USER"], described["PASSWORD"], described["HOST"]) == ("ana", "p@ss", "db.example")
    assert (described["PORT"], described["NAME"]) == (5433, "relais")
    assert described["CONN_MAX_AGE"] == 0
    options = described["OPTIONS"]
    assert options["sslmode"] == "require"
    assert options["connect_timeout"] == 3
    assert (options["pool"]["min_size"], options["pool"]["max_size"]) == (1, 12)
    assert options["pool"]["timeout"] < 2


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://db/relais",
        "sqlite://",
        "sqlite://:memory:",
        "sqlite://file/x",
        "postgres://db/",
    ],
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - told in words by config/env.py
        database(url, directory=HERE, pool_size=20)
