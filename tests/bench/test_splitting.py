"""The parts of a delay add up to all of it, whichever part is the longest."""

import pytest

from bench.splitting import TOLD, Split, mean_since, numbers_in, scrape, split

pytestmark = pytest.mark.stack("small")


def test_parts_are_found_and_are_all_of_it():
    # Said at 0; the one before is told until 1; committed at 3; first member at 7, mean one at 8, last at 9.
    parts = split(mean=8, first=7, last=9, behind=1, told=6)
    assert parts == Split(behind=1, store=2, wait=4, writing=1)


def test_generator_that_reads_slowly_shortens_the_wait_to_nothing():
    parts = split(mean=8, first=5, last=11, behind=0, told=4)
    assert parts == Split(behind=0, store=7, wait=0, writing=1)


PAGE = """\
# HELP relais_delivery_seconds From the commit until it was written.
# TYPE relais_delivery_seconds histogram
relais_delivery_seconds_bucket{le="0.001"} 1.0
relais_delivery_seconds_bucket{le="+Inf"} 4.0
relais_delivery_seconds_count 4.0
relais_delivery_seconds_sum 0.02
relais_topics 3.0
"""


def test_mean_is_of_what_was_counted_meanwhile():
    before = numbers_in(PAGE)
    after = before | {f"{TOLD}_count": 6.0, f"{TOLD}_sum": 0.026}
    assert before["relais_topics"] == 3
    assert mean_since(before, after, TOLD) == pytest.approx(3)
    assert mean_since(before, before, TOLD) == 0


def test_server_has_the_metrics_that_are_read(server):
    found = scrape(server.port)
    assert {
        f"{name}_{what}" for name in (TOLD, "relais_chat_ack_seconds") for what in ("sum", "count")
    } <= set(found)
