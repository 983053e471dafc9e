"""The queues of `benchmarks/simulate.py`, where what they must give is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers_scripts import load_script

queues = load_script("queues")
PLAIN = queues.Setup(rows=4000, rows_per_block=10, slots=20, decode_s=0.5, gpus=20, gpu_s=0.01)


def test_decoding_alone_takes_its_work_by_its_slots() -> None:
    result = queues.simulate(PLAIN)
    assert result.seconds == pytest.approx(4000 * 0.5 / 20, rel=0.01)
    assert result.first == "slots"
    assert result.slots_used == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changed", "first", "seconds"),
    [
        ({"gpus": 1, "gpu_s": 0.1}, "gpus", 400),
        ({"commit_rows_s": 20.0}, "commit", 200),
        ({"driver_s": 0.5}, "driver", 400),  # a task to decode a block, and one to compute it
        ({"requests": 2.0, "requests_s": 20.0}, "storage", 400),
        ({"list_rows_s": 10.0}, "listing", 400),
    ],
)
def test_each_limit_comes_first_where_it_is_the_lowest(changed, first, seconds) -> None:
    result = queues.simulate(replace(PLAIN, **changed))
    assert result.first == first
    assert result.seconds == pytest.approx(seconds + (100 if first == "listing" else 0), rel=0.05)


def test_a_full_store_makes_decoders_wait() -> None:
    slow = replace(PLAIN, gpus=1, gpu_s=0.1, row_bytes=1e6)
    assert queues.simulate(slow).store_waits == 0
    bounded = queues.simulate(replace(slow, store_bytes=50e6))
    assert bounded.store_waits > 0.5
    assert bounded.seconds == pytest.approx(400, rel=0.05)


def test_lost_nodes_cost_their_blocks_and_the_restart() -> None:
    lost = queues.simulate(replace(PLAIN, losses_per_h=120.0, restart_s=60.0))
    assert lost.lost > 10
    assert lost.seconds > queues.simulate(PLAIN).seconds * 1.2


def test_blocks_by_work_use_the_slots() -> None:
    rows, slots, decode_s = 60_000, 200, 0.5
    # Of small blocks, whose lengths differ, three for each slot leave 11 % unused.
    size = queues.block_rows(rows, slots, decode_s, waves=4)
    assert size * decode_s <= 300
    setup = queues.Setup(rows, size, slots, decode_s, gpus=slots, gpu_s=0.001, spread=0.6)
    assert setup.blocks >= 4 * slots
    assert queues.simulate(setup).slots_used >= 0.9
    too_large = replace(setup, rows_per_block=round(rows / slots / 1.2))
    assert queues.simulate(too_large).slots_used < 0.75
