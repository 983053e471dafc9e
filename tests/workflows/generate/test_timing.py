"""Soundtracks that keep time with the picture: curves predicted in the job, what is written of them and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helpers_adapter
import helpers_catalog
import helpers_outputs
import helpers_predictor
import numpy as np
import pytest
import soundfile

import v2a_core
from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from v2a_core.stages.follow import ToFollow
from workflows.cli.main import main
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

CUT = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "encoders.precision=fp32")
SOUND = (*CUT, "generator.num_inference_steps=2", "generator.precision=fp32")


def job(*overrides: str) -> GenerateJob:
    return load(GenerateJob, job="generate", overrides=[*SOUND, "output.interval_s=0", *overrides])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A video of three segments and a still, a mapper, an adapter and a predictor with random weights."""
    folder = tmp_path_factory.mktemp("given")
    local = load_bundle("miniature").resolve()
    helpers_catalog.video(folder / "catalog" / "in.mp4", 2.5, fps=20)
    helpers_catalog.still(folder / "catalog" / "still.png")
    return {
        "catalog": str(folder / "catalog"),
        "video": str(folder / "catalog" / "in.mp4"),
        "mapper": helpers_catalog.random_mapper(folder / "mapper", local),
        "adapter": str(helpers_adapter.random_adapter(folder / "adapter", local)),
        "predictor": str(helpers_predictor.random_predictor(folder / "predictor", local)),
    }


def gru(given: dict[str, str]) -> tuple[str, str]:
    return "timing=gru", f"predictor.weights={given['predictor']}"


def run(given: dict[str, str], output: Path, *overrides: str, **options: Any) -> dict[str, Any]:
    asked = {"models": "miniature", "to_follow": ToFollow(adapter=given["adapter"]), **options}
    asked = asked if "mapper" in asked else {"mapper": given["mapper"], **asked}
    return generate.run([given["catalog"]], str(output), job(*overrides), **asked)


def made(output: Path) -> dict[str, dict[str, Any]]:
    """The rows by the names of their sources, with their waveforms."""
    rows = helpers_outputs.index_rows(output)
    assert {row["status"] for row in rows} == {"ok"}
    sounds = {row["source_name"]: soundfile.read(row["audio_path"], dtype="float32")[0] for row in rows}
    return {row["source_name"]: {**row, "waveform": sounds[row["source_name"]]} for row in rows}


@pytest.fixture(scope="module")
def timed(ray_session: None, given: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made") / "timed"
    run(given, output, *gru(given))
    return output


@pytest.mark.slow
def test_the_index_keeps_the_curve_and_the_manifest_what_predicted_it(timed: Path, given: dict[str, str]) -> None:
    rows = made(timed)
    curve = np.array(rows["in.mp4"]["curve"], np.float32)
    assert curve.shape == (125, 3)
    assert 0 <= curve.min() <= curve.max() <= 1
    assert [float(curve[start : start + 50, 0].max()) for start in (0, 50, 100)] == [1, 1, 1]  # of each segment
    assert curve[:, 2].min() > 0.9
    assert not np.array(rows["still.png"]["curve"])[:, 2].any()
    identity = json.loads((timed / "manifest.json").read_text())["identity"]
    assert (identity["timing"]["scale"], identity["timing"]["steps_share"]) == (1.0, 0.8)
    assert identity["timing"]["predictor"]["kind"] == "gru"
    assert identity["timing"]["predictor"]["frames_per_second"] == 10
    assert "timing_fps" not in identity["frames"]
    assert main(["verify", str(timed)]) == 0


@pytest.mark.slow
def test_the_same_command_goes_on_and_a_dry_run_tells_what_predicts(timed: Path, given: dict[str, str]) -> None:
    assert run(given, timed, *gru(given))["counts"]["sources_done_now"] == 0
    plan = run(given, timed, *gru(given), dry_run=True)
    assert (plan["done_before"], plan["to_do"]) == (2, 0)
    assert plan["timing"]["kind"] == "gru"
    assert len(plan["adapter"]) == 64


@pytest.mark.slow
def test_another_predictor_adapter_or_setting_on_the_same_output_is_refused(
    timed: Path, given: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"identity\.timing\.predictor\.kind: the output has 'gru', this run 'motion'"
    ):
        run(given, timed, "timing=motion")
    with pytest.raises(ConfigError, match=r"identity\.timing: the output has"):
        run(given, timed, to_follow=ToFollow())
    changed = {
        "predictor.least_sure=0.2": r"predictor\.least_sure: the output has 0\.05, this run 0\.2",
        "generator.adapter.scale=0.5": r"scale: the output has 1\.0, this run 0\.5",
        "generator.adapter.steps_share=1": r"steps_share: the output has 0\.8, this run 1\.0",
    }
    for setting, message in changed.items():
        with pytest.raises(ConfigError, match=rf"identity\.timing\.{message}"):
            run(given, timed, *gru(given), setting)
    other = helpers_adapter.random_adapter(tmp_path / "other", load_bundle("miniature").resolve(), seed=1)
    with pytest.raises(ConfigError, match=r"identity\.timing\.adapter: the output has"):
        run(given, timed, *gru(given), to_follow=ToFollow(adapter=str(other)))


@pytest.mark.slow
def test_one_call_without_ray_keeps_the_same_time(timed: Path, given: dict[str, str]) -> None:
    asked = {"adapter": given["adapter"], "timing": "gru", "settings": [*SOUND, gru(given)[1]]}
    one = v2a_core.soundtrack(given["video"], given["mapper"], models="miniature", **asked)
    np.testing.assert_allclose(one.waveform, made(timed)["in.mp4"]["waveform"], rtol=0, atol=4 / 2**15)
    free = v2a_core.soundtrack(given["video"], given["mapper"], models="miniature", settings=SOUND)
    assert np.abs(free.waveform - one.waveform).max() > 1e-3


@pytest.mark.slow
def test_a_still_sounds_as_it_does_without(timed: Path, given: dict[str, str], tmp_path: Path) -> None:
    run(given, tmp_path, to_follow=ToFollow())
    free, found = made(tmp_path), made(timed)
    np.testing.assert_array_equal(free["still.png"]["waveform"], found["still.png"]["waveform"])
    assert np.abs(free["in.mp4"]["waveform"] - found["in.mp4"]["waveform"]).max() > 1e-3
    assert "curve" not in free["in.mp4"]
    assert "timing" not in json.loads((tmp_path / "manifest.json").read_text())["identity"]


@pytest.mark.slow
def test_from_embeddings_it_is_the_same_also_with_candidates(
    timed: Path, given: dict[str, str], tmp_path: Path
) -> None:
    seen = load(EmbedJob, job="embed", overrides=[*CUT, "frames.timing_fps=10.0", "output.interval_s=0"])
    embed.run([given["catalog"]], str(tmp_path / "seen"), seen, models="miniature")
    more = ("candidates.count=2", "candidates.keep_losers=true")
    run(given, tmp_path / "sounds", *gru(given), *more, embeddings=str(tmp_path / "seen"))
    found, first = made(tmp_path / "sounds")["in.mp4"], made(timed)["in.mp4"]
    np.testing.assert_array_equal(np.array(found["curve"]), np.array(first["curve"]))
    if found["candidate"] == 0:
        np.testing.assert_allclose(found["waveform"], first["waveform"], atol=4 / 2**15)
    run(given, tmp_path / "motion", "timing=motion", embeddings=str(tmp_path / "seen"))
    assert made(tmp_path / "motion")["in.mp4"]["curve"] != found["curve"]
    rate = "predictor.frames_per_second=25.0"
    with pytest.raises(ConfigError, match=r"frames\.timing_fps: the embeddings have 10\.0, this run 25\.0"):
        run(given, tmp_path / "other", "timing=motion", rate, embeddings=str(tmp_path / "seen"))


@pytest.mark.slow
@pytest.mark.parametrize("timing", ["gru", "motion"])
def test_through_text_it_keeps_the_same_time(timed: Path, given: dict[str, str], tmp_path: Path, timing: str) -> None:
    (tmp_path / "table.csv").write_text(f"uri,caption\n{given['video']},a bell\n")
    asked = gru(given) if timing == "gru" else ("timing=motion",)
    words = job(*asked, "via_text=caption")
    to_follow = ToFollow(adapter=given["adapter"])
    output = str(tmp_path / "out")
    generate.run([str(tmp_path / "table.csv")], output, words, models="miniature", to_follow=to_follow)
    (found,) = made(tmp_path / "out").values()
    same = np.array_equal(np.array(found["curve"]), np.array(made(timed)["in.mp4"]["curve"]))
    assert same == (timing == "gru")
