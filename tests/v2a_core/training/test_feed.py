from __future__ import annotations

import helpers_embeddings as world
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.training.config import DataSettings
from v2a_core.training.data import Pairs, load
from v2a_core.training.distributed import Shard
from v2a_core.training.feed import MemoryFeed, StreamFeed
from v2a_core.training.placement import choose, pair_bytes
from v2a_core.training.selection import select


def numbered(rows: int, shard: Shard | None = None) -> Pairs:
    """Pairs whose first number is the row's own."""
    shard = shard or Shard()
    own = torch.arange(rows).float()[shard.rank :: shard.workers, None]
    return Pairs(own, own, shard=shard, rows=rows)


@given(rows=st.integers(1, 60), batch=st.integers(1, 20), workers=st.integers(1, 4), epoch=st.integers(0, 5))
def test_shards_make_the_same_batches_as_one(rows, batch, workers, epoch):
    whole = list(MemoryFeed(numbered(rows), batch, seed=1, device="cpu").epoch(epoch, 0))
    shards = [
        list(MemoryFeed(numbered(rows, Shard(rank, workers)), batch, seed=1, device="cpu").epoch(epoch, 0))
        for rank in range(workers)
    ]
    assert sorted(int(row) for step in whole for row in step.inputs["target"]) == list(range(rows))
    for number, step in enumerate(whole):
        by_place = {
            int(place): float(value)
            for shard in shards
            for place, value in zip(shard[number].places_B, shard[number].inputs["target"], strict=True)
        }
        assert [by_place[place] for place in range(step.rows)] == step.inputs["target"][:, 0].tolist()
        assert all(shard[number].rows == step.rows for shard in shards)


def test_an_epoch_goes_on_in_the_middle():
    feed = MemoryFeed(numbered(50), 8, seed=1, device="cpu")
    whole = [step.inputs["target"].tolist() for step in feed.epoch(3, 0)]
    assert [step.inputs["target"].tolist() for step in feed.epoch(3, 4)] == whole[4:]


def test_a_stream_gives_all_rows_in_the_batches_that_come():
    rows = torch.arange(10.0)[:, None]
    feed = StreamFeed(
        lambda epoch: iter([(rows[:4], rows[:4], None), (rows[4:], rows[4:], torch.ones(6))]), 1, 1, "cpu"
    )
    steps = list(feed.epoch(0, 0))
    assert [step.rows for step in steps] == [4, 6]
    assert torch.equal(torch.cat([step.inputs["target"] for step in steps]), rows)
    assert [step.rows for step in feed.epoch(0, 1)] == [6]


@pytest.mark.parametrize("aggregator", ["average", "random"])
def test_a_shard_holds_its_rows(tmp_path, aggregator):
    folder = world.write(tmp_path / "e", world.table(60, split=["train"] * 50 + ["val"] * 10))
    selection = select(folder, DataSettings())
    whole = load(selection, world.SPACES, aggregator, 512)
    for rank in range(3):
        part = load(selection, world.SPACES, aggregator, 512, shard=Shard(rank, 3))
        part.train.begin_epoch(7, 2)
        whole.train.begin_epoch(7, 2)
        torch.testing.assert_close(part.train.target_NE, whole.train.target_NE[rank::3])
        torch.testing.assert_close(part.train.condition_NV, whole.train.condition_NV[rank::3])
        assert len(part.train) == 50
        assert len(part.validation.target_NE) == 10
        assert part.counts == whole.counts
    counted = load(selection, world.SPACES, aggregator, 512, keep_train=False)
    assert (len(counted.train), len(counted.train.target_NE)) == (50, 0)


def test_placement_is_the_first_that_fits(tmp_path):
    folder = world.write(tmp_path / "e", world.table(60))
    selection = select(folder, DataSettings())
    assert selection.frames == 60 * 3
    needs = pair_bytes(selection, "random", 512)
    assert needs == 60 * 2 * 512 * 4 + 180 * 512 * 2

    def chosen(room: float, workers: int = 1, **more) -> str:
        settings = DataSettings(worker_memory_gib=room / 2**30, **more)
        return choose(selection, settings, "random", 512, workers)

    assert chosen(needs) == "memory"
    assert chosen(needs - 1) == "stream"
    assert chosen(needs - 1, workers=2) == "sharded"
    assert chosen(needs / 3, workers=2) == "stream"
    assert chosen(needs, placement="stream") == "stream"


def test_weights_are_one_on_average_and_fair_to_sources(tmp_path):
    # Ten sources; the first has eleven segments, the others one.
    names = ["/videos/0.mp4"] * 10 + [f"/videos/{number}.mp4" for number in range(10)]
    rows = world.table(
        22, source_uri=[*names, "/v/a.mp4", "/v/b.mp4"], split=["train"] * 20 + ["val"] * 2,
        duration_s=[10.0] * 19 + [5.0, 10.0, 10.0],
    )  # fmt: skip
    folder = world.write(tmp_path / "e", rows)

    def weights(kind: str) -> np.ndarray | None:
        data = load(select(folder, DataSettings(segment_weight=kind)), world.SPACES, "average", 512)
        return None if data.train.weight_N is None else data.train.weight_N.numpy()

    assert weights("equal") is None
    by_source, by_duration = weights("source"), weights("duration")
    assert by_source.mean() == pytest.approx(1)
    assert by_source[:11].sum() == pytest.approx(by_source[11])
    assert by_duration.mean() == pytest.approx(1)
    assert by_duration[19] == pytest.approx(by_duration[0] / 2)
