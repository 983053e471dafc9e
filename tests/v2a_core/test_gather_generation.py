from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core import arrays, gather, rows
from v2a_core.generation import generate_waveforms
from v2a_core.media.types import MediaError
from v2a_core.schema import OK, REJECTED

RATE = 100


def segment(source: str, index: int, count: int, *, bad: bool = False, length_s: float = 10.0):
    row = {
        "segment_id": f"{source}-{index}", "source_id": source, "source_uri": f"/{source}.mp4",
        "source_name": f"{source}.mp4", "kind": "video", "segment_index": index, "segment_count": count,
        "start_s": index * length_s, "duration_s": length_s, "source_duration_s": count * length_s + 0.5,
        "source": "{}", "status": REJECTED if bad else OK, "reject_type": "Broken" if bad else None, "decode_s": 0.5,
    }  # fmt: skip
    condition = None if bad else np.full(512, index + 1, np.float32)
    return row, condition


def mapped(*segments) -> pa.Table:
    table = rows.table([row for row, _ in segments])
    conditions = arrays.vectors([condition for _, condition in segments], 512)
    return rows.replace(table, {"condition": conditions, "map_s": pa.array([0.1] * len(segments))})


class Tones:
    """Makes a constant of the condition's level: what was made for which window can be read off the result."""

    sample_rate = RATE

    def __init__(self, broken=()):
        self.batches, self._broken = [], set(broken)

    def generate(self, conditions_BD, seeds, duration_s):
        self.batches.append(len(seeds))
        sounds = np.repeat(conditions_BD[:, :1], round(duration_s * RATE), axis=1)
        sounds[[level in self._broken for level in conditions_BD[:, 0]]] = np.nan
        return sounds


@settings(max_examples=30, deadline=None)
@given(st.permutations([(source, index) for source, count in (("a", 3), ("b", 1), ("c", 2)) for index in range(count)]),
       st.integers(1, 4))  # fmt: skip
def test_sources_come_out_whole_in_any_order_and_batching(order, batch):
    counts = {"a": 3, "b": 1, "c": 2}
    gatherer = gather.SourceGatherer()
    out = []
    for start in range(0, len(order), batch):
        items = [segment(source, index, counts[source]) for source, index in order[start : start + batch]]
        out += gatherer.add(mapped(*items)).to_pylist()
    assert sorted(row["source_id"] for row in out) == ["a", "b", "c"]
    for row in out:
        count = counts[row["source_id"]]
        assert row["segment_ids"] == [f"{row['source_id']}-{index}" for index in range(count)]
        assert row["starts_s"] == [10.0 * index for index in range(count)]
        assert [condition[0] for condition in row["conditions"]] == [index + 1 for index in range(count)]


def test_a_broken_segment_sounds_like_its_nearest_good_neighbour():
    items = [segment("a", 0, 3), segment("a", 1, 3, bad=True), segment("a", 2, 3, bad=True)]
    (row,) = gather.SourceGatherer().add(mapped(*items)).to_pylist()
    assert row["status"] == OK
    assert [condition[0] for condition in row["conditions"]] == [1, 1, 1]


def test_a_source_without_a_good_segment_is_rejected_with_its_reason():
    (row,) = gather.SourceGatherer().add(mapped(segment("a", 0, 1, bad=True))).to_pylist()
    assert (row["status"], row["reject_type"]) == (REJECTED, "Broken")


def test_a_source_rejected_as_a_whole_does_not_wait():
    row, _ = segment("a", -1, 0, bad=True)
    assert gather.SourceGatherer().add(mapped((row, None))).num_rows == 1


def test_waveforms_fill_the_source_and_neighbours_cross_fade():
    sources = gather.SourceGatherer().add(
        mapped(*[segment("a", index, 2) for index in range(2)], segment("b", 0, 1), segment("c", -1, 0, bad=True))
    )
    generator = Tones()
    made = generate_waveforms(sources, generator, run_seed=0, crossfade_s=0.2)
    by_id = {row["source_id"]: row for row in made.to_pylist()}
    waveform = np.frombuffer(by_id["a"]["waveform"], np.float32)
    assert len(waveform) == round(20.5 * RATE)  # the half second after the last segment has sound too
    np.testing.assert_array_equal(waveform[: round(9.8 * RATE)], 1)
    np.testing.assert_array_equal(waveform[round(10.2 * RATE) :], 2)
    assert by_id["b"]["sample_rate_hz"] == RATE
    assert by_id["c"]["waveform"] is None
    assert sum(generator.batches) == 3


def test_a_sound_that_is_not_finite_rejects_its_source_alone():
    sources = gather.SourceGatherer().add(mapped(segment("a", 0, 1), *[segment("b", index, 2) for index in range(2)]))
    made = generate_waveforms(sources, Tones(broken=[2.0]), run_seed=0, crossfade_s=0.0).to_pylist()
    by_id = {row["source_id"]: row for row in made}
    assert (by_id["a"]["status"], by_id["b"]["status"]) == (OK, REJECTED)
    assert by_id["b"]["reject_type"] == "NonFinite"


def test_rejecting_rows_keeps_the_others():
    table = mapped(segment("a", 0, 1), segment("b", 0, 1))
    marked = rows.reject_where(table, [False, True], MediaError("clip", "NonFinite", "why"))
    assert marked["status"].to_pylist() == [OK, REJECTED]
    assert marked["reject_message"].to_pylist() == [None, "why"]
    assert marked.schema.names == table.schema.names


@pytest.mark.parametrize("columns", [{"map_s": pa.array([1.0])}, {"new": pa.array(["x"])}])
def test_replace_sets_or_adds_a_column(columns):
    table = rows.replace(mapped(segment("a", 0, 1)), columns, drop=["frames", "not there"])
    assert table[next(iter(columns))].to_pylist() == next(iter(columns.values())).to_pylist()
    assert "frames" not in table.schema.names
