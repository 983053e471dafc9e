"""What is tried again, how often, after which waits, and for how long."""

from __future__ import annotations

import math

import pytest

from v2a_core.storage import retrying


class Failing:
    """Raises an error so many times, then returns the number of the attempt."""

    def __init__(self, error, times=math.inf):
        self.error, self.times, self.calls = error, times, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


def test_a_transient_error_is_tried_again_and_counted():
    waits, before = [], retrying.traffic()
    operation = Failing(ConnectionResetError("reset"), times=3)
    assert retrying.retry(operation, 8, waits.append) == 4
    assert retrying.traffic().since(before) == retrying.Traffic(0, 3)
    assert len(waits) == 3


def test_attempts_are_bounded_and_the_last_error_is_told_as_it_is():
    waits, error = [], TimeoutError("no answer")
    operation = Failing(error)
    with pytest.raises(TimeoutError) as caught:
        retrying.retry(operation, 3, waits.append)
    assert caught.value is error
    assert (operation.calls, len(waits)) == (3, 2)


@pytest.mark.parametrize("error", [PermissionError("denied"), FileNotFoundError("none"), ValueError("wrong")])
def test_what_the_same_request_meets_again_is_raised_at_once(error):
    operation, before = Failing(error), retrying.traffic()
    with pytest.raises(type(error)):
        retrying.retry(operation, 8, lambda _: pytest.fail("it waits"))
    assert operation.calls == 1
    assert retrying.traffic() == before


def test_an_interrupt_is_no_error_of_storage():
    with pytest.raises(KeyboardInterrupt):
        retrying.retry(Failing(KeyboardInterrupt()), 8, lambda _: pytest.fail("it waits"))


def test_waits_grow_to_twenty_seconds_each_shortened_at_random():
    rounds = []
    for _ in range(200):
        waits = []
        with pytest.raises(ConnectionError):
            retrying.retry(Failing(ConnectionError()), 8, waits.append)
        rounds.append(waits)
    for waits, longest in zip(zip(*rounds, strict=True), (1, 2, 4, 8, 16, 20, 20), strict=True):
        assert 0.8 * longest < max(waits) <= longest
        assert 0 <= min(waits) < 0.2 * longest


def test_no_wait_begins_that_ends_after_the_time_is_over():
    waits = []
    operation = Failing(ConnectionError())
    with pytest.raises(ConnectionError):
        retrying.retry(operation, 20, waits.append, until_s=0.0)
    assert (operation.calls, waits) == (1, [])
