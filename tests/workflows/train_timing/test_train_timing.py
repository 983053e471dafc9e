"""`v2a train-timing`: from embeddings with denser frames to what `v2a generate --timing gru` takes."""

from __future__ import annotations

import json
from pathlib import Path

import helpers_adapter
import helpers_catalog
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import v2a_core
from v2a_core.config import ConfigError, load
from v2a_core.media.encode import write_video
from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files
from v2a_core.training.watched import WatchedSegments
from workflows.cli.main import main
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.train_timing import job as train_timing
from workflows.train_timing.config import TimingJob

CUT = ("segments.length_s=1.0", "segments.min_length_s=0.3", "frames.frames_per_second=2.0", "encoders.precision=fp32")
CUT_FRAME = 6
SETTINGS = (
    "predictor.width=16", "predictor.hidden=8", "training.epochs=3", "training.global_batch=4",
    "scaling.threads=1", "scaling.cpus_per_worker=0.5", "scaling.max_failures=0", "data.validation_share=0.3",
)  # fmt: skip


def job(*overrides: str) -> TimingJob:
    return load(TimingJob, job="train-timing", overrides=[*SETTINGS, *overrides])


def cut_video(path: Path) -> None:
    """After 0.3 s of a second another picture and another tone."""
    frames = np.full((20, 48, 64, 3), 20, np.uint8)
    frames[CUT_FRAME:, 8:40, 16:48] = (250, 220, 30)
    times = np.arange(16_000) / 16_000
    tone = (0.3 * np.sin(2 * np.pi * np.where(times < 0.3, 300, 900) * times)).astype(np.float32)
    write_video(path, frames, 20, tone, 16_000)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, one cut and one mute, and a still: each of the last two is of no use."""
    folder = tmp_path_factory.mktemp("given") / "catalog"
    for index in range(4):
        helpers_catalog.video(folder / f"{index} ü%.mp4", 1.6, hue=40 * index, tone_hz=200 + 60 * index, fps=20)
    cut_video(folder / "cut.mp4")
    helpers_catalog.video(folder / "mute.mp4", 1.0, tone_hz=None)
    helpers_catalog.still(folder / "still.png")
    return folder


def embedded(catalog: Path, output: Path, *overrides: str) -> Path:
    settings = load(EmbedJob, job="embed", overrides=[*CUT, "output.interval_s=0", *overrides])
    embed.run([str(catalog)], str(output), settings, models="miniature")
    return output


@pytest.fixture(scope="module")
def embeddings(ray_session: None, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded(catalog, tmp_path_factory.mktemp("dense") / "embeddings", "frames.timing_fps=10.0")


@pytest.fixture(scope="module")
def trained(embeddings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("trained") / "predictor"
    return output, train_timing.run(str(embeddings), str(output), job(), models="miniature")


def test_the_sound_is_told_over_time_beside_the_denser_frames(embeddings: Path) -> None:
    rows = [row for part in part_files(f"{embeddings}/rows") for row in pq.read_table(part).to_pylist()]
    found = {(row["source_name"], row["segment_index"]): row for row in rows}
    row = found["0 ü%.mp4", 0]
    assert len(row["timing_level"]) == 50
    assert max(row["timing_level"]) == pytest.approx(1)
    assert row["timing_onsets_s"][0] < 0.05  # it begins with the tone
    assert len(found["0 ü%.mp4", 1]["timing_level"]) == 30
    assert found["mute.mp4", 0]["timing_level"] is None
    assert main(["verify", str(embeddings)]) == 0


def test_of_a_segment_that_is_cut_the_longest_shot_is_learned_from(embeddings: Path) -> None:
    table = pa.concat_tables([pq.read_table(part) for part in part_files(f"{embeddings}/rows")])
    row = table.filter(pc.equal(table["source_name"], "cut.mp4"))
    shot, whole = (
        {name: values[0] for name, values in WatchedSegments(10, 1.0, cut).read(row).items()} for cut in (0.05, 1.0)
    )
    assert (shot["count"], whole["count"]) == (7, 10)
    assert shot["motion"].max() < 0.05 < whole["motion"].max()
    np.testing.assert_array_equal(shot["level"][:35], whole["level"][15:])
    np.testing.assert_array_equal(shot["onset"][:35], whole["onset"][15:])
    np.testing.assert_allclose(shot["frames"][3], whole["frames"][6], atol=1e-3)


def test_a_predictor_is_trained_and_described(trained: tuple[Path, dict], capsys) -> None:
    output, summary = trained
    assert summary["status"] == "done"
    assert summary["counts"]["train"] + summary["counts"]["validation"] == 9
    left_out = {reason: count for reason, count in summary["counts"]["left_out"].items() if count}
    assert left_out == {"no audio": 2}
    config = json.loads((output / "config.json").read_text())
    assert (config["kind"], config["frames_per_second"]) == ("gru", 10)
    assert config["onset_threshold"] == summary["best"]["validation_threshold"]
    assert 0 < config["sure_spread"] <= 1
    assert main(["verify", str(output)]) == 0
    assert "a curve predictor and" in capsys.readouterr().out


@pytest.mark.slow
def test_soundtracks_follow_what_it_predicts(trained: tuple[Path, dict], catalog: Path, tmp_path: Path) -> None:
    local = load_bundle("miniature").resolve()
    asked = {
        "models": "miniature",
        "timing": "gru",
        "adapter": str(helpers_adapter.random_adapter(tmp_path / "adapter", local)),
        "settings": [*CUT, "generator.num_inference_steps=2", f"predictor.weights={trained[0]}"],
    }
    mapper = helpers_catalog.random_mapper(tmp_path, local)
    made = v2a_core.soundtrack(str(catalog / "0 ü%.mp4"), mapper, **asked)
    assert np.isfinite(made.waveform).all()


def test_the_same_command_has_nothing_to_do_and_a_dry_run_tells(
    trained: tuple[Path, dict], embeddings: Path, capsys
) -> None:
    output, summary = trained
    assert train_timing.run(str(embeddings), str(output), job()) == summary
    assert "nothing to do" in capsys.readouterr().out
    plan = train_timing.run(str(embeddings), str(output), job(), dry_run=True)
    assert plan["finished"]
    assert (plan["parameters"], plan["frames_per_second"]) == (summary["parameters"], 10)
    assert plan["steps"] == 3 * plan["steps_per_epoch"]
    with pytest.raises(ConfigError, match=r"identity\.predictor\.width: the output has 16, this run 24"):
        train_timing.run(str(embeddings), str(output), job("predictor.width=24"))


@pytest.mark.slow
def test_embeddings_without_denser_frames_or_at_an_odd_rate_are_refused(
    ray_session: None, catalog: Path, tmp_path: Path
) -> None:
    plain = embedded(catalog, tmp_path / "plain")
    with pytest.raises(ConfigError, match=r"holds nothing to learn from when things sound: embed the catalog with"):
        train_timing.run(str(plain), str(tmp_path / "out"), job())
    odd = embedded(catalog, tmp_path / "odd", "frames.timing_fps=8.0")
    with pytest.raises(ConfigError, match=r"timing_fps = 8, which is no divisor of a curve's 50 values"):
        train_timing.run(str(odd), str(tmp_path / "out"), job())
    assert not (tmp_path / "out").exists()
