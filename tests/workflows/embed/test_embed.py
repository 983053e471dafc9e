from __future__ import annotations

import re
from pathlib import Path

import helpers_catalog
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
from safetensors.torch import load_file, save_file

from v2a_core.config import ConfigError, load
from v2a_core.models import ModelError, fetch_bundle, load_bundle
from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob

SETTINGS = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "output.interval_s=0")


def job(*overrides: str) -> EmbedJob:
    return load(EmbedJob, job="embed", overrides=[*SETTINGS, *overrides])


def read(output) -> list[dict]:
    return [row for part in part_files(f"{output}/rows") for row in pq.read_table(part).to_pylist()]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")


@pytest.fixture(scope="module")
def embedded(ray_session, catalog, tmp_path_factory):
    output = tmp_path_factory.mktemp("embedded")
    summary = embed.run([str(catalog)], str(output), job(), models="miniature")
    return output, summary


def test_every_segment_has_a_row(embedded):
    output, summary = embedded
    by_source: dict[str, list[dict]] = {}
    for row in read(output):
        by_source.setdefault(row["source_name"], []).append(row)
    counts = {name: len(rows) for name, rows in by_source.items()}
    assert counts == {
        "rain/one.mp4": 3,
        "bell/one.mp4": 3,
        "bell/mute & odd%20[name].mp4": 1,
        "still.png": 1,
        "broken.mp4": 1,
        "shard-000/key0.mp4": 1,
        "shard-000/key1.mp4": 1,
    }
    assert summary["counts"]["sources"] == 7
    assert summary["counts"]["sources_rejected"] == 1


def test_rows_hold_what_the_contract_says(embedded):
    for row in read(embedded[0]):
        if row["status"] == "rejected":
            assert row["source_name"] == "broken.mp4"
            assert row["reject_stage"]
            assert row["reject_message"]
            continue
        frames = np.array(row["vision_frames"], np.float32)
        assert frames.shape == (len(row["frame_times_s"]), 512)
        np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1, atol=2e-3)
        assert all(row["start_s"] <= time < row["start_s"] + row["duration_s"] for time in row["frame_times_s"])
        sound = row["clap_embedding"]
        assert (sound is None) == (row["audio_rms_dbfs"] is None)
        if sound is not None:
            assert np.linalg.norm(sound) == pytest.approx(1, abs=1e-4)


def test_labels_come_from_the_shard(embedded):
    labels = {row["source_name"]: row["label"] for row in read(embedded[0])}
    assert labels["shard-000/key0.mp4"] == "drum"


def test_a_second_run_does_nothing_and_says_so(embedded, catalog, capsys):
    output, _ = embedded
    before = part_files(f"{output}/rows")
    summary = embed.run([str(catalog)], str(output), job(), models="miniature")
    assert summary["counts"]["sources_done_now"] == 0
    assert summary["counts"]["sources_done_before"] == 7
    assert part_files(f"{output}/rows") == before
    assert "nothing to do" in capsys.readouterr().out


def test_other_programs_read_the_folder_of_rows_as_it_is(ray_session, embedded):
    folder = embedded[0] / "rows"
    ids = sorted(row["segment_id"] for row in read(embedded[0]))
    assert sorted(pd.read_parquet(folder)["segment_id"]) == ids
    assert sorted(row["segment_id"] for row in ray.data.read_parquet(str(folder)).take_all()) == ids


def test_missing_segments_are_made_exactly_once(embedded, catalog):
    """As after a kill: of the three segments of a video one was written."""
    output, _ = embedded
    wanted = {row["segment_id"] for row in read(output)}
    for part in map(Path, part_files(f"{output}/rows")):
        table = pq.read_table(part)
        whole = pc.and_(pc.equal(table["source_name"], "rain/one.mp4"), pc.greater(table["segment_index"], 0))
        part.unlink()
        pq.write_table(table.filter(pc.invert(whole)), part.with_name(f"part-{part.stem.split('-')[1]}.parquet"))
    assert len(read(output)) == len(wanted) - 2
    summary = embed.run([str(catalog)], str(output), job(), models="miniature")
    ids = [row["segment_id"] for row in read(output)]
    assert len(ids) == len(set(ids))
    assert set(ids) == wanted
    assert summary["counts"]["rows_done_now"] == 2


def test_other_settings_on_the_same_output_are_refused(embedded, catalog):
    output, _ = embedded
    with pytest.raises(ConfigError, match=r"frames_per_second: the output has 2\.0, this run 3\.0"):
        embed.run([str(catalog)], str(output), job("frames.frames_per_second=3.0"), models="miniature")


def test_an_empty_catalog_is_refused(ray_session, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty"):
        embed.run([str(tmp_path / "empty")], str(tmp_path / "out"), job(), models="miniature")


@pytest.mark.slow
def test_a_run_that_goes_wrong_stops_and_keeps_what_was_done(ray_session, tmp_path, capsys):
    for index in range(4):
        helpers_catalog.corrupt(tmp_path / "bad" / f"{index}.mp4")
    helpers_catalog.still(tmp_path / "bad" / "good.png")
    settings = [f"--set={item}" for item in (*SETTINGS, "limits.reject_grace=1")]
    command = ["embed", str(tmp_path / "bad"), "--output", str(tmp_path / "out"), "--models", "miniature"]
    assert main([*command, *settings]) == 3
    assert re.search(r"of \d sources were rejected", capsys.readouterr().err)
    assert read(tmp_path / "out")


@pytest.mark.slow
def test_a_dry_run_plans_and_writes_nothing(ray_session, catalog, tmp_path, capsys):
    plan = embed.run([str(catalog)], str(tmp_path / "out"), job(), models="miniature", limit=2, dry_run=True)
    assert (plan["sources"], plan["to_do"]) == (2, 2)
    assert not list((tmp_path / "out").glob("*"))


def test_a_clap_that_is_not_the_generators_is_refused_before_ray_starts(catalog, tmp_path, monkeypatch):
    models = tmp_path / "models"
    fetch_bundle(load_bundle("miniature"), str(models))
    text = next((models / "generator" / "text_encoder").glob("*.safetensors"))
    tensors = load_file(text)
    tensors["text_projection.linear2.bias"] = tensors["text_projection.linear2.bias"] + 0.01
    save_file(tensors, text)
    (models / "checksums.json").unlink()
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    with pytest.raises(ModelError, match="different spaces"):
        embed.run([str(catalog)], str(tmp_path / "out"), job(), models=str(models))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.json"))
