"""The answer to a scrape: the numbers of all workers in Prometheus' text format."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from realtime.metrics import scoreboard
from realtime.metrics.instruments import REGISTRY, Gauge, Histogram, Instrument, Registry, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def scrape() -> bytes:
    """Render the page of all numbers, in a thread, so that sockets do not wait for it."""
    board = scoreboard.current()
    board.note()
    return await asyncio.to_thread(lambda: as_text(board.totals()))


def as_text(totals: dict[str, Series], registry: Registry = REGISTRY) -> bytes:
    """Render numbers as a page that Prometheus reads."""
    collecting = CollectorRegistry(auto_describe=False)
    collecting.register(_Families([_family(registry.instruments[name], totals[name]) for name in totals]))
    return generate_latest(collecting)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _family(instrument: Instrument, series: Series) -> Metric:
    name, text, labels = instrument.name, instrument.help_text, list(instrument.labels)
    if isinstance(instrument, Histogram):
        histogram = HistogramMetricFamily(name, text)
        bounds = [*map(str, map(float, instrument.buckets)), "+Inf"]
        for total, *counts in series.values():
            histogram.add_metric([], list(zip(bounds, accumulate(counts), strict=True)), sum_value=total)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if isinstance(instrument, Gauge):
        family = GaugeMetricFamily(
            name, text, labels=[*labels, *(["worker"] if instrument.combine == "worker" else [])]
        )
    else:
        family = CounterMetricFamily(name, text, labels=labels)
    for values, [value] in sorted(series.items()):
        family.add_metric(values, value)
    return family
