from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.config import ConfigError, load
from v2a_core.media.config import SegmentSettings
from v2a_core.media.segments import cut
from v2a_core.media.types import Segment
from workflows.embed.config import EmbedJob
from workflows.generate.config import GenerateJob

SECONDS = st.floats(0.04, 5000, allow_nan=False)


def plan(
    length_s: float,
    config: SegmentSettings,
    identity: str = "id",
    start_s: float | None = None,
    duration_s: float | None = None,
    kind: str = "video",
) -> list[Segment]:
    return cut(identity, length_s, config, whole=kind == "image", start_s=start_s, span_s=duration_s)


CONFIGS = st.builds(SegmentSettings, length_s=st.floats(1, 20), min_length_s=st.floats(0, 1))


@given(SECONDS, CONFIGS)
@settings(max_examples=80, deadline=None)
def test_segments_cover_a_source_without_gap_or_overlap(duration_s: float, config: SegmentSettings) -> None:
    segments = plan(duration_s, config)
    assert segments
    assert segments[0].start_s == 0.0
    for one, other in itertools.pairwise(segments):
        assert one.start_s + one.duration_s == pytest.approx(other.start_s)
        assert one.duration_s == config.length_s
    uncovered = duration_s - segments[-1].start_s - segments[-1].duration_s
    assert -1e-6 <= uncovered <= max(config.min_length_s, 2e-6)
    assert segments[-1].duration_s >= min(config.min_length_s, duration_s) - 1e-6
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert {segment.count for segment in segments} == {len(segments)}


@given(SECONDS, CONFIGS, st.floats(0, 6000), st.floats(0.01, 100))
@settings(max_examples=80, deadline=None)
def test_a_span_stays_inside_itself_and_the_source(
    duration_s: float, config: SegmentSettings, start_s: float, span_s: float
) -> None:
    segments = plan(duration_s, config, start_s=start_s, duration_s=span_s)
    assert bool(segments) == (duration_s - start_s > 1e-6)
    for segment in segments:
        assert segment.start_s >= start_s
        assert segment.start_s + segment.duration_s <= min(duration_s, start_s + span_s) + 1e-6


@given(SECONDS, SECONDS, CONFIGS)
@settings(max_examples=60, deadline=None)
def test_ids_are_deterministic_and_distinct(one_s: float, other_s: float, config: SegmentSettings) -> None:
    one = plan(one_s, config, "one")
    assert one == plan(one_s, config, "one")
    ids = [segment.segment_id for segment in one + plan(other_s, config, "other")]
    assert len(set(ids)) == len(ids)
    assert all(len(identity) == 32 for identity in ids)


def test_ids_stay_as_they_are() -> None:
    """Outputs of earlier versions are continued, not made again: a change here needs a new SCHEMA_VERSION."""
    assert plan(10.0, SegmentSettings())[0].segment_id == "c2daa21d7ff9f20e6a4f813c11380925"


@pytest.mark.parametrize(
    ("duration_s", "lengths"),
    [
        (10.0, [10.0]),
        (10.0000004, [10.0]),
        (10.6, [10.0]),
        (11.0, [10.0, 1.0]),
        (0.5, [0.5]),
        (25.0, [10.0, 10.0, 5.0]),
        (0.0, []),
    ],
)
def test_the_last_segment(duration_s: float, lengths: list[float]) -> None:
    assert [segment.duration_s for segment in plan(duration_s, SegmentSettings())] == pytest.approx(lengths)


@pytest.mark.parametrize(
    ("duration_s", "hop_s", "spans"),
    [
        (20.0, 5.0, [(0, 10), (5, 10), (10, 10)]),
        (22.0, 5.0, [(0, 10), (5, 10), (10, 10), (15, 7)]),  # 2 s are new
        (20.6, 5.0, [(0, 10), (5, 10), (10, 10)]),  # 0.6 s would be
        (4.0, 5.0, [(0, 4)]),
        (35.0, 15.0, [(0, 10), (15, 10), (30, 5)]),
        (27.0, 15.0, [(0, 10), (15, 10)]),  # nothing left behind the next hop
    ],
)
def test_hops(duration_s: float, hop_s: float, spans: list[tuple[float, float]]) -> None:
    segments = plan(duration_s, SegmentSettings(hop_s=hop_s))
    assert [(segment.start_s, segment.duration_s) for segment in segments] == spans
    assert len({segment.segment_id for segment in segments}) == len(spans)


@given(SECONDS, st.floats(1, 20), st.floats(0.5, 20))
@settings(max_examples=80, deadline=None)
def test_overlapping_windows_leave_no_gap(duration_s: float, length_s: float, hop_s: float) -> None:
    segments = plan(duration_s, SegmentSettings(length_s=length_s, hop_s=min(hop_s, length_s), min_length_s=0.0))
    for one, other in itertools.pairwise(segments):
        assert other.start_s <= one.start_s + one.duration_s + 1e-6
        assert other.start_s + other.duration_s > one.start_s + one.duration_s
    assert segments[-1].start_s + segments[-1].duration_s == pytest.approx(duration_s, abs=3e-6)


def test_whole_sources_and_whole_spans() -> None:
    (segment,) = plan(3600.0, SegmentSettings(whole=True))
    assert (segment.start_s, segment.duration_s, segment.count) == (0.0, 3600.0, 1)
    (segment,) = plan(3600.0, SegmentSettings(whole=True), start_s=60.0, duration_s=90.0)
    assert (segment.start_s, segment.duration_s) == (60.0, 90.0)


@pytest.mark.parametrize("override", ["segments.whole=true", "segments.hop_s=5.0"])
def test_a_soundtrack_is_made_of_adjoining_segments(override: str) -> None:
    load(EmbedJob, job="embed", overrides=[override])
    load(GenerateJob, job="generate", overrides=["segments.length_s=5.0", "segments.hop_s=5.0"])
    with pytest.raises(ConfigError, match="adjoining"):
        load(GenerateJob, job="generate", overrides=[override])


def test_an_image_is_one_segment() -> None:
    (segment,) = plan(15.0, SegmentSettings(length_s=4.0), kind="image")
    assert (segment.duration_s, segment.count) == (15.0, 1)
