from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.catalog import Source
from v2a_core.generators.ranking import CandidateSettings
from v2a_core.generators.windows import JoinSettings
from v2a_core.media.types import MediaError
from v2a_core.protocols import Curve
from v2a_core.stages import gather
from v2a_core.stages.generate import SoundtrackJob, SoundtrackMaker
from v2a_core.stages.prompts import TextSettings
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import OK, REJECTED

RATE = 100


def segment(source: str, index: int, count: int, *, bad: bool = False, length_s: float = 10.0):
    row = {
        "segment_id": f"{source}-{index}", "source_id": source, "source_uri": f"/{source}.mp4",
        "source_name": f"{source}.mp4", "kind": "video", "segment_index": index, "segment_count": count,
        "start_s": index * length_s, "duration_s": length_s, "source_duration_s": count * length_s + 0.5,
        "source": rows.pack_source(Source(f"/{source}.mp4", f"{source}.mp4", "video")),
        "status": REJECTED if bad else OK, "reject_type": "Broken" if bad else None, "decode_s": 0.5,
    }  # fmt: skip
    condition = None if bad else np.full(512, index + 1, np.float32)
    return row, condition


def mapped(*segments) -> pa.Table:
    table = rows.table([row for row, _ in segments])
    conditions = arrays.vectors([condition for _, condition in segments], 512)
    return rows.replace(table, {"condition": conditions, "map_s": pa.array([0.1] * len(segments))})


class Tones:
    """Makes a constant of each condition's level: what was made for which segment can be read off the result."""

    sample_rate = RATE

    def __init__(self, broken=()):
        self.seconds = {"unet": 0.0, "vae": 0.0, "vocoder": 0.0}
        self.tracks, self._broken = [], set(broken)

    def generate_tracks(self, tracks, overlap_s):
        for track in tracks:
            self.tracks.append(track)
            self.seconds["unet"] += 1.0
            borders = [*(round(start * RATE) for start in track.starts_s), round(track.length_s * RATE)]
            levels = [float(condition.max()) for condition in track.conditions_ND]
            sound = np.repeat(np.array(levels, np.float32), np.diff(borders))
            yield np.full_like(sound, np.nan) if self._broken & set(levels) else sound

    def embed_text(self, texts):
        return np.stack([np.eye(512, dtype=np.float32)[len(text)] for text in texts])


class Level:
    """Hears the first sample of a sound."""

    def similarity(self, waveform, sample_rate, starts_s, conditions_ND):
        return float(waveform[0])


def make(sources, generator=None, listener=None, **text) -> dict[str, dict]:
    candidates = CandidateSettings(count=3 if listener else 1, keep_losers=bool(listener))
    job = SoundtrackJob(0, JoinSettings(), TextSettings(**text), candidates)
    tables = list(SoundtrackMaker(generator or Tones(), job, listener).make(sources))
    return {row["source_id"]: row for row in pa.concat_tables(tables, promote_options="default").to_pylist()}


_PIECES = [(source, index) for source, count in (("a", 3), ("b", 1), ("c", 2)) for index in range(count)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).flatmap(lambda again: st.permutations(_PIECES + again)),
       st.integers(1, 4))  # fmt: skip
def test_sources_come_out_whole_and_once_in_any_order_batching_and_repetition(order, batch):
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


def test_a_source_waits_whole_for_a_segment_that_could_not_be_fetched():
    (row, condition), later = segment("a", 1, 2, bad=True), segment("a", 0, 2)
    row |= {"reject_stage": "fetch", "reject_message": "the share is gone"}
    (found,) = gather.SourceGatherer().add(mapped(later, (row, condition))).to_pylist()
    assert (found["status"], found["reject_stage"], found["reject_message"]) == (
        "rejected",
        "fetch",
        "the share is gone",
    )
    assert found["conditions"] is None


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


def test_waveforms_fill_their_sources():
    sources = gather.SourceGatherer().add(
        mapped(*[segment("a", index, 2) for index in range(2)], segment("b", 0, 1), segment("c", -1, 0, bad=True))
    )
    generator = Tones()
    made = make(sources, generator)
    waveform = np.frombuffer(made["a"]["waveform"], np.float32)
    assert len(waveform) == round(20.5 * RATE)  # the half second after the last segment has sound too
    np.testing.assert_array_equal(waveform, np.repeat(np.float32([1, 2]), [10 * RATE, round(10.5 * RATE)]))
    assert (made["b"]["sample_rate_hz"], made["b"]["candidate"], made["b"]["losers"]) == (RATE, None, None)
    assert made["c"]["waveform"] is None
    assert sum(row["unet_s"] or 0 for row in made.values()) == len(generator.tracks) == 2


def test_a_sound_that_is_not_finite_rejects_its_source_alone():
    sources = gather.SourceGatherer().add(mapped(segment("a", 0, 1), *[segment("b", index, 2) for index in range(2)]))
    made = make(sources, Tones(broken=[2.0]))
    assert (made["a"]["status"], made["b"]["status"]) == (OK, REJECTED)
    assert made["b"]["reject_type"] == "NonFinite"


def test_noise_comes_from_the_segment_and_the_candidate():
    generator = Tones()
    first = mapped(segment("a", 0, 1), *[segment("b", index, 2) for index in range(2)])
    make(gather.SourceGatherer().add(first), generator, Level())
    seeds = [tuple(track.seeds) for track in generator.tracks]
    assert len({seed for track in seeds for seed in track}) == 9
    alone = Tones()
    make(gather.SourceGatherer().add(mapped(*[segment("b", index, 2) for index in (1, 0)])), alone)
    assert tuple(alone.tracks[0].seeds) == seeds[3]  # the first of the candidates is what is made without them


class Candidates(Tones):
    """Candidate k has the level k, but for those that fail."""

    def generate_tracks(self, tracks, overlap_s):
        for number, sound in enumerate(super().generate_tracks(tracks, overlap_s)):
            yield np.full_like(sound, np.nan if number % 3 in self._broken else number % 3)


@pytest.mark.parametrize(("broken", "kept", "losers"), [([], 2, 2), ([2], 1, 1), ([0, 1, 2], None, None)])
def test_the_closest_candidate_is_kept_and_the_others_on_request(broken, kept, losers):
    row = make(gather.SourceGatherer().add(mapped(segment("a", 0, 1))), Candidates(broken), Level())["a"]
    assert row["candidate"] == kept
    if kept is None:
        assert row["status"] == REJECTED
        return
    assert np.frombuffer(row["waveform"], np.float32)[0] == kept
    assert len(row["losers"]) == losers
    assert row["candidate_scores"] == [-np.inf if number in broken else float(number) for number in range(3)]


class Beats(Tones):
    """Candidate k beats at the time of k, a second each."""

    def generate_tracks(self, tracks, overlap_s):
        for number, sound in enumerate(super().generate_tracks(tracks, overlap_s)):
            made = np.full_like(sound, 0.001)
            made[number * RATE : number * RATE + RATE // 2 : 2] = 1
            yield made


def test_what_keeps_to_the_curve_is_kept_where_that_counts():
    sources = gather.SourceGatherer().add(mapped(segment("a", 0, 1)))
    level_F = np.zeros(500, np.float32)
    level_F[50:75] = 1
    curve = Curve(level_F, np.zeros_like(level_F), np.ones_like(level_F))
    kept = {}
    for weight in (0.0, 1.0):
        candidates = CandidateSettings(count=3, timing_weight=weight)
        job = SoundtrackJob(0, JoinSettings(), TextSettings(), candidates, curve)
        (row,) = [row for table in SoundtrackMaker(Beats(), job, Alike()).make(sources) for row in table.to_pylist()]
        kept[weight] = row["candidate"]
        assert (max(row["candidate_scores"]) > 0.7) == bool(weight)
    assert kept == {0.0: 0, 1.0: 1}
    assert "timing_weight" not in CandidateSettings().model_dump()


class Alike:
    """To it, all candidates are equally close."""

    def similarity(self, waveform, sample_rate, starts_s, conditions_ND):
        return 0.0


def test_candidates_need_a_listener():
    job = SoundtrackJob(0, JoinSettings(), TextSettings(), CandidateSettings(count=2))
    with pytest.raises(ValueError, match="without a listener"):
        SoundtrackMaker(Tones(), job)


def spoken(prompt=None, negative_prompt=None) -> pa.Table:
    row, condition = segment("a", 0, 1)
    row["source"] = rows.pack_source(Source("/a.mp4", "a.mp4", "video", prompt=prompt, negative_prompt=negative_prompt))
    return gather.SourceGatherer().add(mapped((row, condition)))


def test_a_prompt_turns_the_condition_towards_itself():
    text = Tones().embed_text(["rain"])[0]
    for weight, angle in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)):
        generator = Tones()
        row = make(spoken(prompt="rain"), generator, weight=weight, prompt="ignored")["a"]
        assert (row["prompt"], row["negative_prompt"]) == ("rain", None)
        condition = generator.tracks[0].conditions_ND[0]
        seen = np.full(512, 512**-0.5, np.float32)
        assert np.arccos(min(1, condition @ text)) == pytest.approx(angle * np.arccos(seen @ text), abs=1e-3)
        assert generator.tracks[0].null_D is None


def test_prompts_of_the_job_are_for_sources_without_their_own():
    generator = Tones()
    row = make(spoken(negative_prompt="hum"), generator, prompt="thunder", negative_prompt="ignored")["a"]
    assert (row["prompt"], row["negative_prompt"]) == ("thunder", "hum")
    np.testing.assert_array_equal(generator.tracks[0].null_D, Tones().embed_text(["hum"])[0])
    unspoken = Tones()
    assert make(spoken(), unspoken)["a"]["prompt"] is None
    np.testing.assert_array_equal(unspoken.tracks[0].conditions_ND[0], 1)


def test_rejecting_rows_keeps_the_others():
    table = mapped(segment("a", 0, 1), segment("b", 0, 1))
    marked = rows.reject_where(table, [False, True], MediaError("vision", "NonFinite", "why"))
    assert marked["status"].to_pylist() == [OK, REJECTED]
    assert marked["reject_message"].to_pylist() == [None, "why"]
    assert marked.schema.names == table.schema.names


@pytest.mark.parametrize("columns", [{"map_s": pa.array([1.0])}, {"new": pa.array(["x"])}])
def test_replace_sets_or_adds_a_column(columns):
    table = rows.replace(mapped(segment("a", 0, 1)), columns, drop=["frames", "not there"])
    assert table[next(iter(columns))].to_pylist() == next(iter(columns.values())).to_pylist()
    assert "frames" not in table.schema.names
