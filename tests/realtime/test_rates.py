"""Rates: how much a bucket grants, and the answer to callers that it refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.errors import RateLimitedError
from realtime.rates import SWEEP_SECONDS, Bucket, Buckets, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s:30", Rate(10, 1, 30)),
        ("10/min", Rate(10, 60, 10)),
        ("1/h:5", Rate(1, 3600, 5)),
        ("off", Rate(0, 1, 0)),
    ],
)
def test_rate_is_read_and_written_alike(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "10", "10/day", "0/s", "10/s:0", "-1/s", "10/s:", "ten/s", "10/s:30 "])
def test_text_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Rate.parse(text)


def test_bucket_grants_the_burst_and_then_the_rate() -> None:
    bucket, rate = Bucket(), Rate.parse("2/s:3")

    granted = [bucket.wait(rate, 50.0) == 0 for _ in range(4)]
    later = [bucket.wait(rate, 50.5) == 0 for _ in range(2)]

    assert granted == [True, True, True, False]
    assert later == [True, False]


def test_bucket_says_how_long_to_wait() -> None:
    bucket, rate = Bucket(), Rate.parse("2/s:1")

    bucket.wait(rate, 50.0)

    assert bucket.wait(rate, 50.0) == pytest.approx(0.5)
    assert bucket.wait(rate, 50.4) == pytest.approx(0.1)
    assert bucket.wait(rate, 50.5) == 0


def test_many_are_granted_together_or_not_at_all() -> None:
    bucket, rate = Bucket(), Rate.parse("2/s:5")

    assert [bucket.wait(rate, 50.0, 3), bucket.wait(rate, 50.0, 3)] == [0, pytest.approx(0.5)]
    assert bucket.wait(rate, 50.0, 2) == 0


def test_rate_that_is_off_limits_nothing() -> None:
    bucket = Bucket()

    assert all(bucket.wait(Rate.parse("off"), 1.0) == 0 for _ in range(1000))


def test_keys_do_not_share_a_bucket() -> None:
    buckets = Buckets(lambda: Rate.parse("1/min:1"), Clock())

    buckets.take("ana")
    buckets.take("bruno")

    with pytest.raises(RateLimitedError) as refused:
        buckets.take("ana")
    assert refused.value.retry_after_ms == 60_000


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(lambda: Rate.parse("1/s:1"), clock)
    for address in range(1024):
        buckets.take(address)
    clock.now += 5

    buckets.take("one more")

    assert len(buckets._buckets) == 1


def test_more_keys_than_memory_share_one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Buckets, "max_keys", 2)
    buckets = Buckets(lambda: Rate.parse("1/min:1"), Clock())
    buckets._sweep_at = 2
    buckets.take("a")
    buckets.take("b")
    buckets.take("c")

    with pytest.raises(RateLimitedError):
        buckets.take("d")


def refused(buckets: Buckets, keys: range) -> int:
    """How many of so many callers, each of them new, are refused."""
    count = 0
    for key in keys:
        try:
            buckets.take(key)
        except RateLimitedError:
            count += 1
    return count


@given(crowds=st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100_000)), max_size=6))
@settings(database=None, max_examples=50)
def test_table_that_was_full_has_room_again_when_its_buckets_are_idle(
    crowds: list[tuple[int, float]],
) -> None:
    clock, key = Clock(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Buckets, "max_keys", 3000)
        buckets = Buckets(lambda: Rate.parse("10/min:10"), clock)
        for number, pause in crowds:
            refused(buckets, range(key, key + number))
            assert len(buckets._buckets) <= 3001  # and the one that the rest shares
            key += number
            clock.now += pause

        clock.now += 60 + SWEEP_SECONDS  # longer than any of them needs to be full again

        assert refused(buckets, range(key, key + 1000)) == 0


def test_full_table_is_not_swept_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = []
    sweep = Buckets._sweep
    monkeypatch.setattr(Buckets, "max_keys", 2000)
    monkeypatch.setattr(Buckets, "_sweep", lambda self, now: sweeps.append(now) or sweep(self, now))
    clock = Clock()
    buckets = Buckets(lambda: Rate.parse("1/h:1"), clock)

    refused(buckets, range(5000))
    at_once = len(sweeps)
    clock.now += SWEEP_SECONDS
    refused(buckets, range(5000, 6000))

    assert (at_once, len(sweeps)) == (1, 2)
