"""Metrics of sets against closed forms, and their intervals against leaving groups out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.class_probabilities import inception_score
from v2a_core.metrics.desync import offset_grid
from v2a_core.metrics.frechet import frechet_distance
from v2a_core.metrics.jackknife import GROUPS, group_of, jackknife
from v2a_core.metrics.kernel import kernel_distance, median_distance
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, SetSettings, ValueOfEach, difference
from v2a_core.metrics.systems.clip_frames import mean_frame
from v2a_core.metrics.systems.features import Features, Member
from v2a_core.metrics.systems.leakage import MUSIC, SPEECH

KEYS = [f"clip{number}" for number in range(300)]


@pytest.fixture
def stored(tmp_path):
    """Puts arrays (N, D) or (N, rows, D) of columns on disk as features of the first N keys."""
    made: list[Features] = []

    def store(**columns: np.ndarray) -> Features:
        found = Features(tmp_path / str(len(made)), {name: array.shape[-1] for name, array in columns.items()})
        for row, key in enumerate(KEYS[: len(next(iter(columns.values())))]):
            found.add(Member(key, key), {name: np.atleast_2d(array[row]) for name, array in columns.items()})
        made.append(found)
        return found

    return store


def compute(name: str, made: Features, reference: Features | None = None, **more) -> Estimate:
    settings = SetSettings(most_rows=500)
    heard = Heard(made, reference, more.get("frames"), more.get("silence", {}), settings, more.get("videos"))
    return SET_METRICS[name].component.compute(heard)


def normal(count: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@pytest.mark.parametrize("count", [300, 6])
def test_a_shifted_set_is_as_far_as_the_shift(stored, count):
    rows, shift = normal(count, 8), np.arange(8, dtype=np.float32) / 4
    found = compute("fd_cnn14_16k", stored(embedding=rows + shift), stored(embedding=rows))
    assert found.value == pytest.approx(float(shift @ shift), rel=1e-5)
    assert found.count == count
    score = found.score(0.95)
    assert score.low <= found.value <= score.high
    assert score.high - score.low < 1e-3  # the same rows are left out of both sets


def test_a_wider_set_is_as_far_as_its_spread(stored):
    rows = normal(300, 8)
    rows -= rows.mean(axis=0)
    found = compute("fad_vggish", stored(embedding=1.5 * rows), stored(embedding=rows))
    assert found.value == pytest.approx(float(np.trace(np.cov(rows, rowvar=False))) / 4, rel=1e-4)


def test_silence_and_halves_of_the_references_stand_beside_a_distance(stored):
    made, reference = normal(300, 8), normal(300, 8, seed=1)
    silence = np.full((1, 8), 0.5, np.float32)
    found = compute("fd_passt", stored(embedding=made), stored(embedding=reference), silence={"embedding": silence})
    many_alike = np.repeat(silence, 50, axis=0)
    assert found.beside["silence"] == pytest.approx(frechet_distance(many_alike, reference), rel=1e-5)
    groups = np.array([group_of(key) for key in KEYS])
    halves = reference[groups % 2 == 0], reference[groups % 2 == 1]
    assert found.beside["real_halves"] == pytest.approx(frechet_distance(*halves), rel=1e-5)
    by_hand = [frechet_distance(made[groups != group], reference[groups != group]) for group in range(GROUPS)]
    np.testing.assert_allclose(found.without_G, by_hand, rtol=1e-5)
    assert found.score(0.95) == jackknife(found.value, found.without_G, 300)


def test_patches_of_one_sound_are_left_out_together(stored):
    patches = np.random.default_rng(0).normal(size=(300, 3, 8)).astype(np.float32)
    found = compute("fad_vggish", stored(embedding=patches), stored(embedding=patches[:, :1]))
    assert found.value == pytest.approx(frechet_distance(patches.reshape(-1, 8), patches[:, 0]), rel=1e-5)
    assert found.count == 300


def test_kernel_distance_with_the_bandwidth_of_the_references(stored):
    made, reference = normal(200, 6), normal(200, 6, seed=1) + np.float32(0.5)
    found = compute("kad_cnn14_16k", stored(embedding=made), stored(embedding=reference))
    assert found.value == pytest.approx(kernel_distance(made, reference, median_distance(reference)), rel=1e-6)
    groups = np.array([group_of(key) for key in KEYS[:200]])
    halves = reference[groups % 2 == 0], reference[groups % 2 == 1]
    expected = kernel_distance(*halves, median_distance(reference))
    assert found.beside["real_halves"] == pytest.approx(expected, rel=1e-6)


def test_divergence_of_pairs(stored):
    reference = np.log(np.tile(np.array([[0.5, 0.5]], np.float32), (40, 1)))
    made = np.log(np.tile(np.array([[0.25, 0.75]], np.float32), (40, 1)))
    found = compute("kl_cnn14_16k", stored(logits=made), stored(logits=reference), silence={"logits": reference[:1]})
    assert found.value == pytest.approx(0.143841, abs=1e-6)
    assert found.beside["silence"] == pytest.approx(0, abs=1e-7)
    with pytest.raises(NotMeasuredError, match="no references"):
        compute("kl_cnn14_16k", stored(logits=made))


def test_inception_score_of_certain_classes(stored):
    logits = np.full((300, 8), -50, np.float32)
    logits[np.arange(300), np.arange(300) % 8] = 50
    found = compute("is_cnn14_16k", stored(logits=logits), stored(logits=logits))
    in_order = logits[np.argsort(KEYS)]
    assert found.value == pytest.approx(inception_score(in_order).mean, rel=1e-6)
    assert 6.5 < found.value < 8
    assert found.beside["references"] == pytest.approx(found.value)


def test_leakage_is_what_the_reference_does_not_have(stored):
    reference, made = np.full((4, 527), -9, np.float32), np.full((4, 527), -9, np.float32)
    reference[0, SPEECH] = made[0, SPEECH] = made[1, SPEECH] = 3
    made[:, MUSIC] = 3
    speech = compute("speech_leakage", stored(logits=made), stored(logits=reference))
    assert (speech.value, speech.count, speech.beside["references"]) == (pytest.approx(1 / 3), 3, 0.25)
    assert compute("music_leakage", stored(logits=made), stored(logits=reference)).value == 1
    score = speech.score(0.95)
    assert 0 <= score.low < speech.value < score.high <= 1


def test_desync_is_the_mean_offset_of_both_ends(stored):
    grid = offset_grid()
    first, last = np.eye(21, dtype=np.float32)[[10, 12, 0]], np.eye(21, dtype=np.float32)[[10, 10, 20]]
    real = np.eye(21, dtype=np.float32)[[10, 10, 11]]
    found = compute("desync", stored(first_logits=first, last_logits=last), stored(first_logits=real, last_logits=real))
    assert found.values == {"clip0": 0, "clip1": pytest.approx(grid[12] / 2), "clip2": 2}
    assert found.value == pytest.approx(2.2 / 3)
    assert found.beside == {"guessing": pytest.approx(1.0476, abs=1e-4), "references": pytest.approx(0.2 / 3)}
    score = found.score(0.95)
    assert 0 <= score.low < score.high <= 2
    with pytest.raises(NotMeasuredError, match="no sound has a value"):
        compute("desync", stored(first_logits=first[:0], last_logits=last[:0]))


def test_sounds_that_an_extractor_says_nothing_of_are_told_with_a_reason(tmp_path):
    found = Features(tmp_path / "some", {"first_logits": 21, "last_logits": 21})
    found.add(Member("heard", "heard"), {"first_logits": np.zeros((1, 21)), "last_logits": np.zeros((1, 21))})
    found.add(Member("short", "short"), {})
    found.leave_out_empty("first_logits", "TooShort")
    assert (list(found.keys), dict(found.reasons())) == (["heard"], {"TooShort": 1})


def test_a_value_of_each_sound_is_looked_up_as_in_a_dictionary():
    each = ValueOfEach(["a", "b", "d"], np.array([1.0, 2.0, 4.0]))
    assert each == {"a": 1, "b": 2, "d": 4}
    assert (each["d"], "c" in each, each.get("e"), len(ValueOfEach())) == (4, False, None, 0)
    with pytest.raises(ValueError, match="1 sounds and 0 values"):
        ValueOfEach(["a"])


def test_clip_score_is_the_mean_cosine_to_the_frames(stored):
    sounds, frames = normal(30, 5), np.random.default_rng(3).normal(size=(30, 4, 5))
    kept = stored(embedding=np.stack([mean_frame(item)[0] for item in frames]))
    found = compute("cs_wav2clip", stored(embedding=sounds), None, frames=kept)
    normal_frames = frames / np.linalg.norm(frames, axis=2, keepdims=True)
    cosines = np.einsum("nfd,nd->nf", normal_frames, sounds / np.linalg.norm(sounds, axis=1, keepdims=True))
    assert found.value == pytest.approx(100 * cosines.mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["fd_cnn14_16k", "kad_cnn14_16k", "kl_cnn14_16k", "is_cnn14_16k", "cs_wav2clip"])
def test_no_number_depends_on_the_blocks_in_which_rows_are_read(stored, monkeypatch, name):
    made, reference = normal(120, 6), normal(120, 6, seed=1)
    columns = stored(embedding=made, logits=made), stored(embedding=reference, logits=reference)
    expected = compute(name, *columns, frames=columns[1])
    monkeypatch.setattr("v2a_core.metrics.stored.BLOCK", 7)
    again = stored(embedding=made, logits=made), stored(embedding=reference, logits=reference)
    found = compute(name, *again, frames=again[1])
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    np.testing.assert_allclose(found.without_G, expected.without_G, rtol=1e-7)


def test_the_score_without_a_group_is_that_of_the_rows_that_are_left(stored):
    logits = 3 * normal(300, 8)
    found = compute("is_cnn14_16k", stored(logits=logits))
    order = np.argsort(KEYS)
    groups = np.array([group_of(key) for key in KEYS])[order]
    by_hand = [inception_score(logits[order][groups != group]).mean for group in range(GROUPS)]
    np.testing.assert_allclose(found.without_G, by_hand, rtol=1e-9)


def test_imagebind_score_is_the_cosine_to_the_video(stored):
    videos = stored(embedding=normal(300, 6))
    same = compute("ib", stored(embedding=20 * normal(300, 6)), videos=videos)
    assert (same.value, same.count) == (pytest.approx(1, abs=1e-6), 300)
    assert abs(same.beside["shuffled_pairs"]) < 0.1
    turned = normal(300, 6, seed=1)
    found = compute("ib", stored(embedding=turned), stored(embedding=-normal(300, 6)), videos=videos)
    lengths = np.linalg.norm(turned, axis=1) * np.linalg.norm(normal(300, 6), axis=1)
    cosines = (turned * normal(300, 6)).sum(axis=1) / lengths
    assert found.value == pytest.approx(cosines.mean(), rel=1e-5)
    assert found.beside["references"] == pytest.approx(-1, abs=1e-6)
    assert found.values["clip7"] == pytest.approx(cosines[7], rel=1e-5)
    with pytest.raises(NotMeasuredError, match="needs the videos"):
        compute("ib", stored(embedding=turned))


def test_onsets_and_motion_of_a_video(tmp_path):
    def features(name: str, **columns: list[list[float]]) -> Features:
        found = Features(tmp_path / name, dict.fromkeys(columns, 1))
        for row, key in enumerate(("a", "b", "c")):
            cells = {column: np.array(values[row], np.float32)[:, None] for column, values in columns.items()}
            found.add(Member(key, key), cells)
        return found

    made = features("made", onsets_s=[[1.0, 2.0], [0.5], []])
    motion = features("motion", peaks_s=[[1.01], [2.0], []], frames_per_second=[[25.0]] * 3)
    heard = Heard(made, features("real", onsets_s=[[1.0], [2.0], []]), None, {}, SetSettings(), motion)
    found = SET_METRICS["av_align"].component.compute(heard)
    assert found.count == 2  # the third has neither onset nor peak
    assert found.value == pytest.approx((0.5 + 0.0) / 2)
    assert found.beside["references"] == pytest.approx(1.0)
    with pytest.raises(NotMeasuredError, match="needs the videos"):
        SET_METRICS["av_align"].component.compute(Heard(made, None, None, {}, SetSettings()))


def test_few_rows_for_an_extrapolation_say_so(stored):
    with pytest.raises(NotMeasuredError, match="more than 500 rows"):
        compute("fd_infinity_cnn14_16k", stored(embedding=normal(300, 4)), stored(embedding=normal(300, 4)))


def test_a_system_against_itself_differs_by_nothing_and_against_another_by_the_pairs(stored):
    reference = stored(embedding=normal(300, 6))
    near = normal(300, 6, seed=2)
    far = near + np.float32(0.1) * normal(300, 6, seed=3)
    first = compute("fd_cnn14_16k", stored(embedding=near), reference)
    second = compute("fd_cnn14_16k", stored(embedding=far), reference)
    nothing = difference(first, first, 0.95)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    found = difference(second, first, 0.95)
    assert found.value == pytest.approx(second.value - first.value)
    assert found.high - found.low < second.score(0.95).high - second.score(0.95).low


def test_one_group_of_sources_has_no_interval(stored):
    found = compute("fad_vggish", stored(embedding=normal(3, 4)[None]), stored(embedding=normal(3, 4, 1)[None]))
    score = found.score(0.95)
    assert math.isnan(score.low)
    json.dumps(score.to_dict(), allow_nan=False)
