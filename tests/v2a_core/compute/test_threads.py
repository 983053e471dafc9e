from __future__ import annotations

import threading
import time

import pytest
import torch

from v2a_core.compute.threads import side_by_side


@pytest.fixture(autouse=True)
def four_threads(threads_as_before):
    torch.set_num_threads(4)


def test_results_come_in_the_order_of_the_pieces():
    assert side_by_side(lambda piece: piece * piece, range(20), 3) == [piece * piece for piece in range(20)]


@pytest.mark.parametrize(("lanes", "share"), [(1, 4), (2, 2), (3, 1), (7, 1)])
def test_lanes_share_the_threads(lanes, share):
    assert set(side_by_side(lambda _: torch.get_num_threads(), range(9), lanes)) == {share}
    assert torch.get_num_threads() == 4


def test_the_same_threads_do_the_work_of_every_call():
    """New ones would spread the blocks of a step over all the arenas of a process that has many threads."""
    together = threading.Barrier(2)

    def who(_):
        together.wait(10)
        return threading.get_ident()

    first = set(side_by_side(who, range(2), 2))
    passing = [threading.Thread(target=lambda: bytearray(2**20)) for _ in range(8)]
    for thread in passing:
        thread.start()
    for thread in passing:
        thread.join()
    assert len(first) == 2
    assert set(side_by_side(who, range(2), 2)) == first


def test_an_error_is_raised_and_the_threads_are_as_before():
    def fail(piece):
        if piece == 3:
            raise ValueError("piece 3 is bad")
        return piece

    with pytest.raises(ValueError, match=r"piece 3"):
        side_by_side(fail, range(5), 2)
    assert torch.get_num_threads() == 4
    assert side_by_side(fail, range(3), 2) == [0, 1, 2]


def test_no_lane_works_on_after_an_error():
    ended = []

    def work(piece):
        if piece == 0:
            raise ValueError("piece 0 is bad")
        time.sleep(0.2)
        ended.append(piece)

    with pytest.raises(ValueError, match=r"piece 0"):
        side_by_side(work, range(2), 2)
    before = list(ended)
    time.sleep(0.4)
    assert ended == before
