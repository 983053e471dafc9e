"""Operations that may hang, run where they can be left behind."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from v2a_core.storage import time_limits


def test_a_result_and_an_error_come_back_as_they_are():
    assert time_limits.within(5, "a look", lambda: 3) == 3
    with pytest.raises(KeyError, match="none"):
        time_limits.within(5, "a look", lambda: {}["none"])


def test_whoever_asks_goes_on_when_the_time_is_over():
    release, started = threading.Event(), time.monotonic()
    with pytest.raises(TimeoutError, match="a dead mount: nothing came back within"):
        time_limits.within(0.2, "a dead mount", release.wait)
    assert time.monotonic() - started < 5
    assert time_limits.within(5, "another look", lambda: "here") == "here"
    release.set()


def test_threads_are_used_again_and_never_by_two():
    def name():
        return time_limits.within(5, "a look", threading.get_ident)

    assert len({name() for _ in range(50)}) == 1
    outer, inner = time_limits.within(5, "a look", lambda: (threading.get_ident(), name()))
    assert outer != inner


def test_an_iterator_comes_in_order_and_ends_when_it_hangs():
    assert list(time_limits.iterate_within(5, "a folder", iter(range(1000)))) == list(range(1000))
    release = threading.Event()
    hanging = itertools.chain(range(3), (release.wait() for _ in range(1)))
    with pytest.raises(TimeoutError, match="a folder"):
        list(time_limits.iterate_within(0.2, "a folder", hanging))
    release.set()
    with pytest.raises(ZeroDivisionError):
        list(time_limits.iterate_within(5, "a folder", (1 // number for number in (1, 0))))
