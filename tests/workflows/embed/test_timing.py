"""Denser frames in embeddings: what is written, and that nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import helpers_catalog
import numpy as np
import pyarrow.parquet as pq
import pytest

from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from v2a_core.outputs.ledger import part_files
from v2a_core.stages import reuse
from v2a_core.tables.schema import embeddings_schema
from workflows.cli.main import main
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "output.interval_s=0",
    "encoders.precision=fp32",
)  # fmt: skip
DENSE = "frames.timing_fps=8.0"


def job(*overrides: str) -> EmbedJob:
    return load(EmbedJob, job="embed", overrides=[*SETTINGS, *overrides])


def rows(output: Path) -> list[dict]:
    read = [row for part in part_files(f"{output}/rows") for row in pq.read_table(part).to_pylist()]
    return sorted(read, key=lambda row: row["segment_id"])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("world") / "catalog"
    helpers_catalog.video(folder / "one.mp4", 2.5)
    helpers_catalog.still(folder / "still.png")
    helpers_catalog.corrupt(folder / "broken.mp4")
    return str(folder)


@pytest.fixture(scope="module")
def dense(ray_session: None, catalog: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dense")
    embed.run([catalog], str(output), job(DENSE), models="miniature")
    return output


def test_each_segment_has_its_denser_frames(dense: Path) -> None:
    local = load_bundle("miniature").resolve()
    found = rows(dense)
    written = pq.read_table(part_files(f"{dense}/rows")[0]).schema
    assert written.names == embeddings_schema(local.vision_dim, timing=True).names
    assert written.field("timing_frames").type == embeddings_schema(local.vision_dim).field("vision_frames").type
    counts = {(row["source_name"], row["segment_index"]): len(row["timing_frames"] or []) for row in found}
    assert counts == {
        ("one.mp4", 0): 8,
        ("one.mp4", 1): 8,
        ("one.mp4", 2): 4,
        ("still.png", 0): 1,
        ("broken.mp4", -1): 0,
    }
    for row in found:
        if row["source_name"] != "one.mp4":
            continue
        np.testing.assert_allclose(
            row["timing_times_s"], row["start_s"] + np.arange(len(row["timing_times_s"])) / 8, atol=1e-6
        )
        assert all(motion > 0.001 for motion in row["timing_motion"][1 if row["segment_index"] == 0 else 0 :])
        frames_ND = np.array(row["timing_frames"], np.float32)
        np.testing.assert_allclose(np.linalg.norm(frames_ND, axis=1), 1, atol=2e-3)
    assert main(["verify", str(dense)]) == 0


@pytest.mark.slow
def test_the_other_columns_are_what_they_are_without(dense: Path, catalog: str, tmp_path: Path) -> None:
    embed.run([catalog], str(tmp_path), job(), models="miniature")
    plain, found = rows(tmp_path), rows(dense)
    names = [name for name in embeddings_schema().names if name != "recorded_at"]
    assert [{name: row[name] for name in names} for row in found] == [
        {name: row[name] for name in names} for row in plain
    ]
    assert not [name for name in plain[0] if name.startswith("timing")]
    identity = json.loads((tmp_path / "manifest.json").read_text())["identity"]
    assert "timing_fps" not in identity["frames"]


def test_the_same_command_goes_on_and_another_rate_is_refused(dense: Path, catalog: str) -> None:
    summary = embed.run([catalog], str(dense), job(DENSE), models="miniature")
    assert summary["counts"]["sources_done_now"] == 0
    for other in ((), ("frames.timing_fps=5.0",)):
        with pytest.raises(ConfigError, match=r"identity\.frames\.timing_fps: the output has 8\.0, this run"):
            embed.run([catalog], str(dense), job(*other), models="miniature")


def test_embeddings_are_taken_where_they_have_what_is_looked_at(dense: Path) -> None:
    space, settings = load_bundle("miniature").resolve().vision_space, job(DENSE)
    reuse.check(reuse.Seen(str(dense)), space, settings.segments, settings.frames)
    reuse.check(reuse.Seen(str(dense)), space, settings.segments, job().frames)
    with pytest.raises(ConfigError, match=r"frames\.timing_fps: the embeddings have 8\.0, this run 10\.0"):
        reuse.check(reuse.Seen(str(dense)), space, settings.segments, job("frames.timing_fps=10.0").frames)


def test_a_whole_source_in_one_segment_has_none() -> None:
    with pytest.raises(ConfigError, match=r"segments\.whole = true makes one segment of a source"):
        job(DENSE, "segments.whole=true")
