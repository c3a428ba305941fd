"""The metrics in the manual, the dashboard and the alerts exist, and all metrics are in the manual."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import config.asgi  # noqa: F401 (imports everything that has instruments)
from realtime.metrics.instruments import REGISTRY, Gauge, Histogram

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations"

#: Metrics that Prometheus itself adds to each scrape.
OF_PROMETHEUS = {"up"}
DURATION = re.compile(r"(\d+)(s|m)\Z")


def shown() -> dict[str, tuple[str, ...]]:
    """The names that queries may use, each with its labels."""
    names: dict[str, tuple[str, ...]] = {}
    for name, instrument in REGISTRY.instruments.items():
        labels = instrument.labels
        if isinstance(instrument, Histogram):
            names |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": (*labels, "le")}
        elif isinstance(instrument, Gauge) and instrument.combine == "worker":
            names[name] = (*labels, "worker")
        else:
            names[name] = labels
    return names


def dashboard() -> Any:
    return json.loads((OPERATIONS / "grafana.json").read_text())


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard and of the alerts, with its place."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["definition"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


def names_in(query: str) -> set[str]:
    """The metrics of a query: words that no parenthesis follows, outside of braces and `by (…)`."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]", " ", bare)
    words = set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare))
    return words - {"and", "or", "unless", "instance", "sum", "max", "count", "avg"}


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_query_names_metrics_that_exist_by_labels_they_have(where: str, query: str) -> None:
    known = shown()
    names = names_in(query)

    assert names, "it names none"
    assert names - known.keys() <= OF_PROMETHEUS
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
    for grouping in re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", query):
        labels |= {label.strip() for label in grouping.split(",")}
    own = {label for name in names & known.keys() for label in known[name]}
    assert labels <= own | {"instance", "job"}
    assert query.count("(") == query.count(")")


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_counters_are_read_as_rates(where: str, query: str) -> None:
    for name in names_in(query):
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            assert re.search(rf"(?:rate|increase)\({name}\b", query), name


def test_every_metric_is_on_the_dashboard() -> None:
    drawn = {name for where, query in queries() if where.startswith("panel") for name in names_in(query)}
    families = {re.sub(r"_(bucket|count|sum)\Z", "", name) for name in drawn}

    assert set(REGISTRY.instruments) - families == set()


def test_dashboard_is_one_that_grafana_imports() -> None:
    board = dashboard()
    panels = board["panels"]

    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= board.keys()
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == {"row", "stat", "timeseries"}
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert len({target["refId"] for target in panel.get("targets", ())}) == len(panel.get("targets", ()))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_waits_says_how_urgent_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary"}
    amount, unit = DURATION.match(rule["for"]).groups()  # type: ignore[union-attr]  # None is the failure
    seconds = int(amount) * {"s": 1, "m": 60}[unit]
    # One failed scrape must wake nobody; an increase has happened, and need not go on.
    assert seconds <= 900
    assert seconds >= 60 or "increase(" in rule["expr"]


def test_alerts_have_different_names() -> None:
    names = [rule["alert"] for rule in rules()]

    assert sorted(set(names)) == sorted(names)


def test_every_metric_is_in_the_manual_and_nothing_else_is() -> None:
    page = (OPERATIONS / "metrics.md").read_text()
    rows = re.findall(r"^\| `(relais_\w+)` \| (\w+)[^|]*\| ([^|]*)\|", page, re.MULTILINE)

    assert sorted(name for name, _, _ in rows) == sorted(REGISTRY.instruments)
    for name, kind, labels in rows:
        instrument = REGISTRY.instruments[name]
        own = (*instrument.labels, *(["worker"] if getattr(instrument, "combine", "") == "worker" else []))
        assert kind == instrument.kind, name
        assert tuple(re.findall(r"`(\w+)`", labels.partition(":")[0])) == own, name


@pytest.mark.parametrize("name", sorted(REGISTRY.instruments))
def test_metric_is_named_as_prometheus_wants_it(name: str) -> None:
    instrument = REGISTRY.instruments[name]

    assert name.endswith("_total") == (instrument.kind == "counter")
    assert instrument.help_text.endswith(".")
    assert len(instrument.help_text) <= 110
