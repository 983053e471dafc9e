"""`v2a train-adapter`: from a folder of sounds to what `v2a generate` takes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import helpers_catalog
import helpers_sounds
import numpy as np
import pyarrow.parquet as pq
import pytest

import v2a_core
from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main
from workflows.train_adapter import job as train_adapter
from workflows.train_adapter.config import AdapterJob

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.3", "encoders.precision=fp32", "output.interval_s=0",
    "adapter.width=16", "training.epochs=2", "training.global_batch=8", "training.precision=fp32",
    "scaling.threads=1", "scaling.cpus_per_worker=0.5", "scaling.max_failures=0",
)  # fmt: skip
SOUND = (
    "segments.length_s=1.0", "frames.frames_per_second=2.0", "generator.num_inference_steps=2",
    "generator.precision=fp32", "encoders.precision=fp32",
)  # fmt: skip


def job(*overrides: str) -> AdapterJob:
    return load(AdapterJob, job="train-adapter", overrides=[*SETTINGS, *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helpers_sounds.wild(tmp_path_factory.mktemp("wild") / "sounds")


@pytest.fixture(scope="module")
def trained(ray_session: None, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("trained") / "adapter"
    return output, train_adapter.run([str(folder)], str(output), job(), models="miniature")


def heard(output: Path) -> list[dict]:
    return [row for part in part_files(f"{output}/sounds/rows") for row in pq.read_table(part).to_pylist()]


def test_what_can_be_heard_is_learned_from_and_the_rest_is_counted(trained: tuple[Path, dict], capsys) -> None:
    output, summary = trained
    assert summary["status"] == "done"
    # Two segments of each of twelve sounds, one of the video; the rest says why it is left out.
    assert summary["counts"]["train"] + summary["counts"]["validation"] == 25
    left_out = {reason: count for reason, count in summary["counts"]["left_out"].items() if count}
    assert left_out == {"rejected": 1, "no audio": 1, "silent": 1}
    told = json.loads((output / "sounds" / "summary.json").read_text())
    assert told["counts"]["sources_rejected"] == 1
    best = summary["best"]
    assert np.isfinite([best["validation_loss"], best["validation_loss_free"], best["validation_loss_others"]]).all()
    assert main(["verify", str(output)]) == 0
    assert "an adapter and" in capsys.readouterr().out


def test_rows_hold_what_the_frozen_models_make_of_a_sound(trained: tuple[Path, dict]) -> None:
    rows = {(row["source_name"], row["segment_index"]): row for row in heard(trained[0])}
    row = rows["0 ü%/sound #0.wav", 0]
    curve = np.array(row["curve"], np.float32)
    assert curve.shape == (50, 3)
    assert curve[:, 0].max() == 1
    struck = np.flatnonzero(curve[:, 1] == 1) / 50
    assert np.abs(struck[:, None] - np.array([0, 0.3, 0.6, 0.9])).min(axis=0).max() < 0.06
    assert np.linalg.norm(row["clap_embedding"]) == pytest.approx(1, abs=1e-3)
    assert np.array(row["latents"]).shape[0] >= 1.0 / 0.08
    assert rows["mute.mp4", 0]["latents"] is None
    assert rows["silent.wav", 0]["silent"]
    assert rows["broken.wav", -1]["reject_type"] == "UnknownFormat"


@pytest.mark.slow
def test_soundtracks_follow_with_it(trained: tuple[Path, dict], tmp_path: Path) -> None:
    local = load_bundle("miniature").resolve()
    video = str(helpers_catalog.video(tmp_path / "in.mp4", 1.0))
    mapper = helpers_catalog.random_mapper(tmp_path, local)
    (tmp_path / "curve.csv").write_text("time_s,level,onset\n0,0.05,0\n0.5,1,1\n1.0,0.1,0\n")
    asked = {"models": "miniature", "settings": SOUND}
    free = v2a_core.soundtrack(video, mapper, **asked)
    followed = v2a_core.soundtrack(video, mapper, curve=str(tmp_path / "curve.csv"), adapter=str(trained[0]), **asked)
    assert np.abs(free.waveform - followed.waveform).max() > 1e-5


def test_the_same_command_has_nothing_to_do_and_other_settings_are_refused(
    trained: tuple[Path, dict], folder: Path, capsys
) -> None:
    output, summary = trained
    assert train_adapter.run([str(folder)], str(output), job(), models="miniature") == summary
    assert "nothing to do" in capsys.readouterr().out
    plan = train_adapter.run([str(folder)], str(output), job(), models="miniature", dry_run=True)
    assert plan["finished"]
    assert plan["parameters"] == summary["parameters"]
    assert (plan["sounds"]["done_before"], plan["sounds"]["to_do"]) == (16, 0)
    with pytest.raises(ConfigError, match=r"identity\.training\.epochs: the output has 2, this run 3"):
        train_adapter.run([str(folder)], str(output), job("training.epochs=3"), models="miniature")
    with pytest.raises(ConfigError, match=r"identity\.segments\.length_s: the output has 1\.0, this run 0\.5"):
        train_adapter.run([str(folder)], str(output), job("segments.length_s=0.5"), models="miniature")


@pytest.mark.slow  # it measures a sample, as the dry runs of other jobs do
def test_a_dry_run_of_what_nobody_has_heard_says_what_it_knows(
    ray_session: None, folder: Path, tmp_path: Path, capsys
) -> None:
    options = [f"--set={item}" for item in SETTINGS]
    command = ["train-adapter", str(folder), "--models", "miniature", "--output", str(tmp_path / "out"), "--dry-run"]
    assert main([*command, *options]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["sounds"]["by_kind"] == {"audio": 14, "video": 2}
    assert plan["sounds"]["skipped"] == {"not media": 2}
    assert plan["steps"] is None
    assert plan["parameters"] > 1000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "segments.length_s=12"], "hears 10 s at once; say --set segments.length_s=10"),
        (["--set", "adapter.width=0"], "adapter.width = 0"),
        (["--models", "nowhere"], "no configuration 'nowhere'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_heard(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    command = ["train-adapter", str(folder), "--models", "miniature", "--output", str(tmp_path / "out")]
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_sounds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers_catalog.still(tmp_path / "pictures" / "still.png")
    command = ["train-adapter", str(tmp_path / "pictures"), "--models", "miniature"]
    assert main([*command, "--output", str(tmp_path / "out"), "--set", "segments.length_s=1"]) == 2
    assert "sounds: .flac .m4a .mp3 .ogg .wav" in capsys.readouterr().err
