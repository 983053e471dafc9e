"""Soundtracks that follow a curve: the job, what its manifest says of it, and what is refused before anything loads."""

from __future__ import annotations

import json
from pathlib import Path

import helpers_adapter
import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import soundfile

import v2a_core
from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from v2a_core.stages.follow import ToFollow
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

SOUND = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0",
    "generator.num_inference_steps=2", "generator.precision=fp32", "encoders.precision=fp32",
)  # fmt: skip


def job(*overrides: str) -> GenerateJob:
    return load(GenerateJob, job="generate", overrides=[*SOUND, "output.interval_s=0", *overrides])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A video, a mapper, an adapter with random weights, and what is followed."""
    folder = tmp_path_factory.mktemp("given")
    local = load_bundle("miniature").resolve()
    (folder / "curve.csv").write_text("time_s,level,onset\n0,0.05,0\n1.2,0.05,0\n1.2,1,1\n2.5,0.1,0\n")
    times = np.arange(40_000) / 16_000
    soundfile.write(folder / "sound.wav", np.sin(3000 * times) * np.where(times < 0.8, 0.01, 0.4), 16_000)
    return {
        "video": str(helpers_catalog.video(folder / "in.mp4", 2.5)),
        "mapper": helpers_catalog.random_mapper(folder / "mapper", local),
        "adapter": str(helpers_adapter.random_adapter(folder / "adapter", local)),
        "curve": str(folder / "curve.csv"),
        "sound": str(folder / "sound.wav"),
    }


def made(output: Path) -> np.ndarray:
    (row,) = helpers_outputs.index_rows(output)
    assert row["status"] == "ok", row
    waveform, _ = soundfile.read(row["audio_path"], dtype="float32")
    return waveform


def run(given: dict[str, str], output: Path, to_follow: ToFollow, *overrides: str, **options: object) -> dict:
    asked = {"models": "miniature", **options}
    return generate.run(
        [given["video"]], str(output), job(*overrides), mapper=given["mapper"], to_follow=to_follow, **asked
    )


@pytest.fixture(scope="module")
def followed(ray_session: None, given: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made") / "followed"
    run(given, output, ToFollow(given["curve"], None, given["adapter"]))
    return output


@pytest.mark.slow
def test_the_manifest_says_what_was_followed_and_the_same_command_goes_on(
    followed: Path, given: dict[str, str]
) -> None:
    curve = json.loads((followed / "manifest.json").read_text())["identity"]["curve"]
    assert (curve["scale"], curve["steps_share"]) == (1.0, 0.8)
    assert len(curve["digest"]) == 32
    asked = ToFollow(given["curve"], None, given["adapter"])
    summary = run(given, followed, asked)
    assert summary["counts"]["sources_done_now"] == 0
    assert summary["adapter"] == curve["adapter"]
    plan = run(given, followed, asked, dry_run=True)
    assert (plan["done_before"], plan["to_do"]) == (1, 0)


@pytest.mark.slow
def test_the_adapter_of_the_bundle_is_taken_where_none_is_named(
    followed: Path, given: dict[str, str], tmp_path: Path
) -> None:
    bundle = helpers_adapter.bundle_with_adapter(tmp_path)
    summary = generate.run(
        [given["video"]],
        str(followed),
        job(),
        mapper=given["mapper"],
        models=bundle,
        to_follow=ToFollow(given["curve"]),
    )
    assert summary["counts"]["sources_done_now"] == 0  # the same weights: it is the same output


@pytest.mark.slow
def test_another_curve_scale_or_none_on_the_same_output_is_refused(followed: Path, given: dict[str, str]) -> None:
    asked = ToFollow(given["curve"], None, given["adapter"])
    with pytest.raises(ConfigError, match=r"identity\.curve\.digest: the output has"):
        run(given, followed, ToFollow(None, given["sound"], given["adapter"]))
    with pytest.raises(ConfigError, match=r"identity\.curve\.scale: the output has 1\.0, this run 0\.5"):
        run(given, followed, asked, "generator.adapter.scale=0.5", dry_run=True)
    with pytest.raises(ConfigError, match=r"identity\.curve"):
        run(given, followed, ToFollow())


@pytest.mark.slow
def test_one_call_without_ray_follows_the_same(followed: Path, given: dict[str, str]) -> None:
    asked = {"curve": given["curve"], "adapter": given["adapter"]}
    one = v2a_core.soundtrack(given["video"], given["mapper"], models="miniature", settings=SOUND, **asked)
    np.testing.assert_allclose(one.waveform, made(followed), rtol=0, atol=4 / 2**15)
    free = v2a_core.soundtrack(given["video"], given["mapper"], models="miniature", settings=SOUND)
    assert np.abs(free.waveform - one.waveform).max() > 1e-3


@pytest.mark.slow
def test_without_a_curve_manifests_are_as_they_were(ray_session: None, given: dict[str, str], tmp_path: Path) -> None:
    run(given, tmp_path, ToFollow(), "generator.adapter.scale=3")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert "curve" not in manifest["identity"]
    assert "adapter" not in manifest["identity"]["generator"]
    assert set(manifest["identity"]["models"]) == {"vision", "generator"}
