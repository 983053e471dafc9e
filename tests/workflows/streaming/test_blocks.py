"""How a plan is cut into blocks, and what of it comes back in a worker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.catalog import Source, Sources
from v2a_core.catalog.collector import Collector
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs.ledger import Ledger
from v2a_core.tables.partial import Partial
from workflows.streaming.blocks import BYTES_PER_S, SOURCE_S, TASK_S, Blocks
from workflows.streaming.plan import Names, plan, read_blocks

SETTINGS = SegmentSettings(), FrameSettings()


def of(*sources: Source) -> Sources:
    collector = Collector()
    for source in sources:
        collector.add(source)
    return collector.build()


def cut(sizes: list[float], blocks: Blocks, streams: list[int] | None = None) -> list[tuple[int, int]]:
    numbers = np.array(sizes).astype(np.int64)
    return list(blocks.cut(numbers, np.full(len(sizes), -1) if streams is None else np.array(streams)))


def test_members_of_a_compressed_shard_stay_together() -> None:
    loose = [Source(f"/{index}.mp4", f"{index}.mp4", "video") for index in range(5)]
    packed = [Source(f"/a.tar.gz#{i}", f"{i}", "video", shard_uri="/a.tar.gz", member=str(i)) for i in range(6)]
    other = [Source(f"/b.tar.gz#{i}", f"{i}", "video", shard_uri="/b.tar.gz", member=str(i)) for i in range(3)]
    plain = [Source(f"/c.tar#{i}", f"{i}", "video", shard_uri="/c.tar", member=str(i)) for i in range(3)]
    sources = of(*loose, *packed, *other, *plain)
    runs = list(Blocks(2).cut(sources.sizes(), sources.streams()))
    assert runs == [(0, 2), (2, 4), (4, 5), (5, 11), (11, 14), (14, 16), (16, 17)]


@pytest.mark.parametrize(("count", "slots", "size"), [(60, 2, 4), (40, 10, 1), (50_000, 10, 5), (16_000, 7200, 1)])
def test_there_are_three_waves_of_tasks_where_there_are_enough_sources(count: int, slots: int, size: int) -> None:
    runs = cut([0] * count, Blocks(slots=slots))
    assert {end - start for start, end in runs[:-1]} == {size}
    assert len(runs) >= min(count, 3 * slots)


def test_a_task_ends_in_time_however_many_sources_there_are() -> None:
    for sizes in ([1e6] * 3_000_000 + [1e9] * 50_000, [3e9] * 5):
        runs = cut(sizes, Blocks(slots=10))
        work = SOURCE_S + np.array(sizes) / BYTES_PER_S
        for start, end in runs[::97]:
            assert end - start == 1 or work[start:end].sum() <= TASK_S * 1.001


@given(st.lists(st.integers(0, 4 * 10**9), max_size=60), st.integers(0, 5), st.integers(1, 9), st.data())
def test_every_source_is_in_one_block(sizes: list[int], size: int, slots: int, data: st.DataObject) -> None:
    streams = sorted(data.draw(st.lists(st.integers(-1, 3), min_size=len(sizes), max_size=len(sizes))))
    runs = cut(list(sizes), Blocks(size, slots), streams)
    assert [place for start, end in runs for place in range(start, end)] == list(range(len(sizes)))


@given(st.integers(1, 5000), st.integers(0, 2 * 10**9), st.integers(0, 5), st.integers(1, 9))
def test_a_forecast_counts_blocks_of_the_size_that_a_run_has(count: int, each: int, size: int, slots: int) -> None:
    blocks = Blocks(size, slots)
    sizes = {end - start for start, end in cut([each] * count, blocks)[:-1]}
    # Where a task ends in the middle of a source, tasks differ by one.
    assert sizes <= {blocks.typical(count, each), blocks.typical(count, each) + 1}


def test_a_plan_comes_back_as_it_was() -> None:
    many = [
        Source("s3://b/v/a.mp4", "a.mp4", "video", "3-x", 3),
        Source("/v/b.png", "other/name.png", "image", "4-y", 4, label="rain", start_s=1.5, duration_s=2.0),
        Source("/s.tar#m.mp4", "s/m.mp4", "video", "9", 5, shard_uri="/s.tar", member="m.mp4", member_offset=512,
               member_size=5, caption="ein Satz mit ü", prompt="p", negative_prompt="n"),
    ]  # fmt: skip
    sources = of(*many)
    ids = sources.ids(*SETTINGS)
    whole = plan(sources, ids, Ledger())
    (first, second, third) = whole
    assert [item.source for item in whole] == many
    assert (whole[1], whole[-1], list(whole[::2])) == (second, third, [first, third])
    assert Names(whole)[1] == "other/name.png"
    done = Ledger(partial={second.source_id: Partial(["s-0"], [0], 3)})
    again = plan(sources, ids, done)
    came = [item for block in again.blocks(Blocks(2)) for item in read_blocks(block)]
    assert came == list(again)
    assert [item.done for item in came] == [Partial(), Partial(["s-0"], [0], 3), Partial()]
    assert list(again.where(np.array([False, True, False]))) == [came[1]]


def test_sources_of_many_chunks_are_found_by_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2a_core.catalog.collector.CHUNK", 4)
    many = [Source(f"/{n}.mp4", f"{n}.mp4", "video", str(n), n, label="x" if n > 20 else None) for n in range(30)]
    sources = of(*many, *many[:3])
    assert sources == many
    assert [sources[place] for place in (0, 3, 4, 29, -1)] == [many[place] for place in (0, 3, 4, 29, -1)]
    assert list(sources[3:25:5]) == many[3:25:5]
    assert (sources.says("label"), sources.says("prompt"), sources.kinds()) == (True, False, {"video": 30})
    assert sources.sizes().tolist() == list(range(30))
    with pytest.raises(IndexError):
        sources[30]
