from __future__ import annotations

import json
import math

import helpers_adapter
import helpers_models
import numpy as np
import pytest

from v2a_core.config import ConfigError
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.metrics.base import Score
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.miniature.score import ScoreSettings, score
from v2a_core.miniature.score.agreement import compare
from v2a_core.miniature.score.config import MetricSettings
from v2a_core.miniature.score.followed_lines import must_follow
from v2a_core.miniature.score.following import Followed, others_of
from v2a_core.miniature.score.lines import Line, Ordering, format_table, worst_part
from v2a_core.miniature.score.long_tracks import Joined, extra_onsets, extras
from v2a_core.miniature.score.mapping import SeenAndHeard, train_and_map, without_mapper
from v2a_core.miniature.score.run import score_following
from v2a_core.miniature.score.systems import MAPPERS
from v2a_core.miniature.score.zero_shot import class_embeddings, nearest
from v2a_core.miniature.world import KINDS, WorldSettings, sample

TINY = ScoreSettings(
    per_class=2,
    stills_per_class=1,
    comparison_per_class=1,
    follow_per_class=2,
    pairs=12,
    length_s=1.0,
    mapper_steps=2,
    mapper_batch=8,
    transformer_depth=1,
    mlp_depth=1,
    sampling_steps=2,
    generator=AudioLdmSettings(num_inference_steps=1, guidance_scale=1.0),
    metrics=MetricSettings(resamples=20, frechet_resamples=2),
    processes=1,
)
LINES = {
    "judge_real",
    "clip_zero_shot",
    "clap_zero_shot",
    "vae_vocoder",
    "vae_vocoder_worst",
    "made_true",
    "made_diffusion",
    "made_diffusion_worst",
    "made_regression",
    "made_regression_worst",
    "made_text",
    "made_no_mapper",
    "pitch",
    "tempo",
    "stills",
    "seconds",
    "onsets_rebuilt",
    "level_rebuilt",
    "onsets_free",
    "onsets_own",
    "onsets_own_events",
    "onsets_other",
    "onsets_motion",
    "onsets_predicted",
    "onsets_predicted_events",
    "onsets_predicted_near",
    "onsets_ink",
    "level_own",
    "level_motion",
    "level_predicted",
    "class_free",
    "class_own",
    "class_predicted",
    "gain_predicted",
    "gain_ink",
    "onsets_choice",
    "level_choice",
    "class_choice",
    "long_lost",
    "long_seams",
    "long_cuts",
    "slower",
}
# What a curve is compared with, and what has no target.
OPEN_LINES = {"onsets_rebuilt", "level_rebuilt", "onsets_free", "class_free", "onsets_motion", "level_motion"}
OPEN_LINES |= {"onsets_choice", "level_choice", "long_cuts"}


def at(value: float, spread: float = 0.01) -> Score:
    return Score(value, value - spread, value + spread, 10)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The miniature with a random adapter."""
    return helpers_adapter.bundle_with_adapter(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def scored(bundle, tmp_path_factory):
    """An untrained judge: near chance everywhere, and everything there."""
    output = tmp_path_factory.mktemp("score")
    judge = tmp_path_factory.mktemp("judge")
    Judge(KINDS).save(judge)
    return score(bundle, output=output, settings=TINY, judge=judge), output


@pytest.mark.slow
def test_any_bundle_gets_every_line_with_its_target(scored):
    result, output = scored
    assert set(result["lines"]) == LINES
    for name, line in result["lines"].items():
        assert name in OPEN_LINES or line["verdict"] in ("held", "NOT HELD")
        assert "value" in line or line["count"] == 0
    assert json.loads((output / "score.json").read_text()) == json.loads(json.dumps(result))


@pytest.mark.slow
def test_every_way_of_making_sound_has_its_numbers(scored):
    systems = scored[0]["systems"]
    ways = {"real sound", "VAE and vocoder", "true embedding", "text", "no mapper", *MAPPERS}
    assert set(systems) == ways
    assert systems["real sound"]["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    assert systems["real sound"]["pitch"]["value"] > 0.9  # measured on the waveform: it needs no trained model
    assert systems["true embedding"]["condition_cosine"]["value"] == pytest.approx(1, abs=1e-5)
    assert systems["diffusion Transformer"]["accuracy"]["count"] == 24
    assert systems["random frame"]["accuracy"]["count"] == 12
    assert set(scored[0]["mappers"]) == set(MAPPERS)


@pytest.mark.slow
def test_every_ordering_says_whether_it_held(scored):
    result, output = scored
    assert len(result["orderings"]) == 8
    for ordering in result["orderings"]:
        values = [score["value"] for score in ordering["order"].values()]
        wanted = sorted(values, reverse=ordering["better"] == "higher")
        assert ordering["held"] == (values == wanted and len(set(values)) == len(values))
    text = (output / "score.md").read_text()
    assert text.count("held") + text.count("HELD") >= len(LINES - OPEN_LINES) + 8
    assert result["held"]["lines"].endswith(f"of {len(LINES - OPEN_LINES)}")
    assert "diffusion Transformer < diffusion MLP < regression Transformer < regression MLP" in text


@pytest.mark.slow
def test_the_same_seed_gives_the_same_score_in_processes_side_by_side(scored, bundle, tmp_path):
    first, _ = scored
    Judge(KINDS).save(tmp_path)  # other random weights: what depends on the judge differs, the rest does not
    settings = TINY.model_copy(update={"processes": 2})
    second = score(bundle, settings=settings, judge=tmp_path)
    for name in ("true embedding", "diffusion Transformer", "regression MLP"):
        a, b = first["systems"][name], second["systems"][name]
        assert a["frechet"]["value"] == pytest.approx(b["frechet"]["value"], rel=1e-2)
        assert a["condition_cosine"]["value"] == pytest.approx(b["condition_cosine"]["value"], abs=1e-3)


@pytest.mark.slow
def test_curves_alone_are_scored_with_the_same_numbers(scored, bundle, tmp_path):
    Judge(KINDS).save(tmp_path / "judge")
    found = score_following(bundle, output=tmp_path, settings=TINY, judge=tmp_path / "judge")
    of_curves = ("onsets_", "level_", "class_", "gain_", "long_", "slower")
    assert set(found) == {name for name in LINES if name.startswith(of_curves)}
    for name in ("onsets_free", "onsets_own", "onsets_other", "level_own"):
        assert found[name]["value"] == pytest.approx(scored[0]["lines"][name]["value"], abs=0.02)
    assert json.loads((tmp_path / "following.json").read_text()) == json.loads(json.dumps(found))


def test_a_bundle_without_an_adapter_has_no_curves_to_score():
    with pytest.raises(ConfigError, match="'miniature-untrained' has no adapter"):
        score_following(str(helpers_models.miniature().generator_path.parent), settings=TINY)


def test_another_scene_is_one_of_the_same_kind():
    assert others_of([0, 13, 35], 36, "own") == [0, 13, 35]
    assert others_of([0, 13, 35], 36, "other") == [12, 25, 11]
    assert others_of([0, 11], 12, "other") == [1, 0]
    assert others_of([0, 11], 12, "free") == [None, None]


def test_lines_say_how_closely_curves_are_followed():
    def followed(agreement: float, right: int) -> Followed:
        values = np.array([agreement, agreement, np.nan], np.float32)
        return Followed(values, values, values, np.array([0, 1, 2 if right == 3 else 5]))

    scenes = [sample(WorldSettings(), "test", index) for index in range(4)]
    found = {"rebuilt": followed(0.9, 3), "free": followed(0.4, 3), "own": followed(0.9, 3), "other": followed(0.6, 3)}
    lines = {line.name: line for line in must_follow(found, None, scenes, MetricSettings())}
    assert lines["onsets_own"].score.count == 2  # one of them has no onsets
    verdicts = {name: line.verdict for name, line in lines.items()}
    assert verdicts == {
        "onsets_rebuilt": "", "level_rebuilt": "",
        "onsets_free": "", "onsets_own": "held", "onsets_own_events": "NOT HELD", "onsets_other": "NOT HELD",
        "level_own": "held", "class_free": "", "class_own": "held",
    }  # fmt: skip
    found |= {"own": followed(0.5, 1), "motion": followed(0.5, 3), "ink": followed(0.6, 3)}
    found |= {"predicted": followed(0.8, 3), "choice": followed(0.7, 3)}
    extra_N = np.array([np.nan, 0, 0], np.float32)
    joined = Joined(np.array([0.8, 0.6, np.nan], np.float32), extra_N, extra_N + 1)
    lines = {line.name: line for line in must_follow(found, joined, scenes, MetricSettings())}
    assert {name for name, line in lines.items() if line.verdict == "held"} == {
        "onsets_predicted", "onsets_predicted_near", "level_predicted", "class_own", "class_predicted", "class_choice",
        "gain_predicted", "gain_ink", "long_seams",
    }  # fmt: skip
    assert lines["long_lost"].score.value == pytest.approx(0.1)
    assert lines["long_cuts"].score.value == 1
    assert lines["gain_ink"].title.startswith("least gain of a kind (rain)")
    assert lines["gain_ink"].score.value == pytest.approx(0.2)
    assert lines["onsets_predicted_events"].score.count == 0  # rain, a siren and a ball without onsets
    assert set(lines["onsets_predicted"].score.parts) == {"rain", "siren"}


def test_what_begins_where_scenes_meet_and_is_not_real_counts_against_what_begins_elsewhere():
    real_s = np.array([0.05, 2.5])
    assert extra_onsets(np.array([-0.02, 0.1, 2.45, 4.0]), real_s, 5.0) == 0
    assert extra_onsets(np.array([-0.08, 2.5]), real_s, 5.0) == 1
    assert extra_onsets(np.array([0.06, 2.39, 2.61]), np.zeros(0), 5.0) == 1
    assert extra_onsets(np.array([2.55]), np.zeros(0), 5.0) == -1


def test_what_a_scene_ends_with_is_not_taken_for_a_seam():
    real = [np.array([1.0, 4.95]), np.array([0.5]), np.array([0.2])]
    heard_s = np.array([1.0, 4.94, 5.5, 9.97, 10.2])  # all real but the one before the last scene
    np.testing.assert_array_equal(extras(heard_s, real, 5.0), [np.nan, 0, 1])


def test_a_line_is_held_at_its_target_and_not_beyond():
    assert Line("a", "a", at(0.95), 0.95).verdict == "held"
    assert Line("a", "a", at(0.949), 0.95).verdict == "NOT HELD"
    assert Line("a", "a", at(0.2), 0.2, at_most=True).verdict == "held"
    assert Line("a", "a", at(0.21), 0.2, at_most=True).verdict == "NOT HELD"
    assert Line("a", "a", at(math.nan), 0.2, at_most=True).verdict == "NOT HELD"
    assert Line("a", "a", at(0.5)).verdict == ""


def test_an_ordering_is_held_by_values_and_clear_by_intervals():
    def ordering(*values: float, better="lower", spread=0.01):
        return Ordering("x", {str(i): at(value, spread) for i, value in enumerate(values)}, better)

    assert ordering(1, 2, 3).verdict == "held"
    assert ordering(3, 2, 1, better="higher").verdict == "held"
    assert ordering(1, 3, 2).verdict == "NOT HELD"
    assert ordering(1, 2, 3, spread=0.6).verdict == "held (intervals overlap)"
    assert ordering(1, 1, 2).verdict == "NOT HELD (intervals overlap)"


def write_score(folder, settings=TINY, seed=0, **values: float):
    folder.mkdir()
    lines = {name: Line(name, f"the {name}", at(value)).to_dict() for name, value in values.items()}
    text = json.dumps({"settings": settings.model_dump(), "seed": seed, "lines": lines})
    (folder / "score.json").write_text(text, encoding="utf-8")
    return folder


def test_scores_agree_where_their_intervals_overlap(tmp_path):
    first = write_score(tmp_path / "first", a=0.5, b=0.5, seconds=1.0, only=1.0, unknown=math.nan)
    second = write_score(tmp_path / "second", a=0.515, b=0.53, seconds=9.0, unknown=math.nan)
    agreement = compare(first, second)
    assert [(pair.title, pair.agrees) for pair in agreement.pairs] == [("the a", True), ("the b", False)]
    assert not agreement.whole
    assert "1 of 2 numbers agree" in agreement.to_markdown()
    assert "| the b  | 0.500 (0.490 to 0.510) | 0.530 (0.520 to 0.540) | APART |" in agreement.to_markdown()
    assert compare(first, first).whole


def test_scores_that_were_measured_differently_are_not_compared(tmp_path):
    first = write_score(tmp_path / "first", a=0.5)
    longer = write_score(tmp_path / "longer", settings=TINY.model_copy(update={"per_class": 3, "processes": 2}), a=0.5)
    with pytest.raises(ConfigError, match=r"measured differently: per_class 2 and 3$"):
        compare(first, longer)
    with pytest.raises(ConfigError, match=r"seed 0 and 5"):
        compare(first, write_score(tmp_path / "other", seed=5, a=0.5))
    with pytest.raises(ConfigError, match=r"no score.json in .*v2a models score"):
        compare(first, tmp_path / "nowhere")


def test_worst_part_and_table():
    parts = {"bell": at(0.9), "rain": at(0.3)}
    assert worst_part(Score(0.6, 0, 1, 20, parts=parts))[0] == "rain"
    lines = format_table(["a", "bb"], [["long", "x"]]).splitlines()
    assert lines == ["| a    | bb |", "| ---- | -- |", "| long | x  |"]


@pytest.mark.parametrize(
    "name",
    [
        "diffusion Transformer",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("regression MLP", "random frame")),
    ],
)
def test_a_mapper_learns_a_linear_world(name):
    random = np.random.default_rng(0)
    see, hear = random.normal(size=(2, 4, 512))

    def world(rows: int) -> SeenAndHeard:
        latent = random.normal(size=(rows, 4))
        frames = (latent @ see)[:, None] + 0.1 * random.normal(size=(rows, 3, 512))
        frames /= np.linalg.norm(frames, axis=-1, keepdims=True)
        sounds = latent @ hear
        return SeenAndHeard(
            list(frames.astype(np.float16)), (sounds / np.linalg.norm(sounds, axis=1)[:, None]).astype(np.float32)
        )

    train, validation, test = world(200), world(20), world(10)
    settings = TINY.model_copy(
        update={"mapper_steps": 40, "mapper_batch": 48, "learning_rate": 1e-3, "sampling_steps": 6}
    )
    sets = [(test.frames, list(range(10)))]
    found = train_and_map(settings.mapper(*MAPPERS[name]), settings.training(), train, validation, sets, 0)
    assert found.cosine > 0.5
    assert (found.conditions[0] * test.sounds_ND).sum(1).mean() > 0.5
    assert found.parameters > 1e6


def test_the_default_mappers_are_the_papers_but_for_their_depth():
    mapper = ScoreSettings().mapper("diffusion", "transformer")
    assert (mapper.network.width, mapper.network.heads, mapper.network.head_dim) == (512, 12, 64)
    assert mapper.method.time_steps == 1000
    assert ScoreSettings().training().max_steps == ScoreSettings().mapper_steps


def test_without_a_mapper_the_condition_is_the_mean_of_the_frames():
    frames = [np.eye(512, dtype=np.float16)[:2], np.eye(512, dtype=np.float16)[2:3]]
    found = without_mapper(frames)
    np.testing.assert_allclose(found[0, :3], [0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_zero_shot_is_the_nearest_class():
    texts = np.random.default_rng(0).normal(size=(len(KINDS), 8)).astype(np.float32)

    def embed(prompts):
        kind = next(k for k in range(len(KINDS)) if tuple(prompts) == tuple(class_prompts(KINDS[k])))
        return np.tile(texts[kind] / np.linalg.norm(texts[kind]), (len(prompts), 1))

    from v2a_core.miniature.world import class_prompts

    classes = class_embeddings(embed)
    np.testing.assert_array_equal(nearest(classes[[3, 1]] + 0.01, classes), [3, 1])
