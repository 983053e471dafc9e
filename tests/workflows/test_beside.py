"""`v2a embed --beside`: columns of another encoder in a sidecar, and the jobs that join them by segment."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import helpers_blip
import helpers_catalog
import helpers_outputs
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray
import soundfile
import yaml
from helpers_processes import job_environment, wait_until

from v2a_core import storage
from v2a_core.config import ConfigError, load
from v2a_core.mappers import load_mapper
from v2a_core.models import load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.joining import BesideReader, meet
from v2a_core.outputs.ledger import UnreadablePartError, part_files
from v2a_core.outputs.sidecar import open_sidecar
from v2a_core.stages.decode import DecodeSettings
from v2a_core.tables.beside import columns_of
from v2a_core.training.beside import join
from v2a_core.training.config import DataSettings
from v2a_core.training.reading import read_manifests, read_part
from v2a_core.training.selection import select
from workflows.cli.main import main
from workflows.embed import beside
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import conditions
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.train import job as train
from workflows.train.config import TrainJob
from workflows.train_timing import job as train_timing
from workflows.train_timing.config import TimingJob

CUT = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0")
SETTINGS = (*CUT, "encoders.precision=fp32", "output.interval_s=0", "pools.segments_per_batch=2")
DENSE = "frames.timing_fps=5.0"
TRAIN = (
    "mapper.network.kind=mlp", "mapper.network.width=64", "mapper.network.depth=1", "mapper.method.sampling.steps=4",
    "training.epochs=1", "scaling.cpus_per_worker=0.5", "scaling.threads=1",
)  # fmt: skip
TIMING = (
    "predictor.width=16", "predictor.hidden=8", "training.epochs=1", "training.global_batch=4", "scaling.threads=1",
    "scaling.cpus_per_worker=0.5", "scaling.max_failures=0", "data.validation_share=0.3",
)  # fmt: skip
ODD = "beside #1%20[é] ü"


class World(NamedTuple):
    """What the jobs wrote.

    Attributes:
        catalog: Videos, a picture, a shard, a broken file.
        embeddings: By the miniature.
        models: Its bundle with another vision encoder, of 24 numbers.
        sidecar: What that one sees.
    """

    catalog: Path
    embeddings: Path
    models: str
    sidecar: Path


def job(*overrides: str) -> EmbedJob:
    return load(EmbedJob, job="embed", overrides=[*SETTINGS, *overrides])


def rows(output: Path | str) -> dict[str, dict]:
    read = [row for part in part_files(f"{output}/rows") for row in pq.read_table(part).to_pylist()]
    assert len({row["segment_id"] for row in read}) == len(read)
    return {row["segment_id"]: row for row in read}


def good(output: Path | str) -> dict[str, dict]:
    return {identity: row for identity, row in rows(output).items() if row["status"] == "ok"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The miniature with a tiny BLIP in the place of its CLIP."""
    folder = tmp_path_factory.mktemp("models")
    shipped = load_bundle("miniature").settings
    description = {
        "name": "with-blip",
        "root": shipped.root,
        "vision": {"encoder": "blip", "model": "tiny-blip", "weights": helpers_blip.save_blip_vision(folder / "blip")},
        "audio": {"weights": shipped.audio.weights},
        "generator": {"weights": shipped.generator.weights},
    }
    (folder / "with-blip.yaml").write_text(yaml.safe_dump(description))
    return str(folder / "with-blip.yaml")


@pytest.fixture(scope="module")
def world(ray_session: None, models: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    found = World(helpers_catalog.catalog(root / "catalog"), root / "embeddings", models, root / ODD)
    embed.run([str(found.catalog)], str(found.embeddings), job(), models="miniature")
    beside.run([str(found.catalog)], str(found.embeddings), str(found.sidecar), job(), models=models)
    return found


@pytest.fixture
def copied(world: World, tmp_path: Path) -> World:
    """The same, to be spoilt."""
    found = world._replace(embeddings=tmp_path / "embeddings", sidecar=tmp_path / "sidecar")
    shutil.copytree(world.embeddings, found.embeddings)
    shutil.copytree(world.sidecar, found.sidecar)
    return found


def joined_rows(world: World) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
    """What a training reads: condition and target by what tells a segment apart."""
    embeddings, lies_beside = str(world.embeddings), str(world.sidecar)
    made_by, sidecar = read_manifests(embeddings, lies_beside, DataSettings())
    return pairs(join(select(embeddings, DataSettings()), embeddings, sidecar), made_by["spaces"])


def pairs(selection, spaces) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for part in range(len(selection.parts)):
        for chunk in read_part(selection, part, spaces, 512):
            everyone = np.ones(len(chunk.keys), bool)
            conditions_NV = chunk.conditions(everyone, "average", chunk.keys)
            found |= {key.tobytes(): pair for key, *pair in zip(chunk.keys, conditions_NV, chunk.targets, strict=True)}
    return found


def told_apart(segment_id: str) -> bytes:
    return hashlib.blake2b(segment_id.encode(), digest_size=8).digest()


def test_it_has_the_segments_of_the_embeddings_and_only_what_they_lack(world: World) -> None:
    have, added = good(world.embeddings), good(world.sidecar)
    assert added.keys() == have.keys()
    assert len(added) == 10
    assert rows(world.sidecar).keys() == added.keys()  # what is rejected there is not tried
    written = pq.read_schema(part_files(f"{world.sidecar}/rows")[0])
    assert {"frame_times_s", "vision_frames"} <= set(written.names)
    assert not {"clap_embedding", "audio_rms_dbfs", "timing_frames", "duration_s"} & set(written.names)
    for identity, row in added.items():
        assert np.shape(row["vision_frames"]) == (len(have[identity]["vision_frames"]), 24)
        assert row["frame_times_s"] == have[identity]["frame_times_s"]
        np.testing.assert_allclose(np.linalg.norm(row["vision_frames"], axis=1), 1, atol=2e-3)


def test_its_manifest_names_both_sides(world: World) -> None:
    made_by, base = manifest.load(str(world.sidecar)), manifest.load(str(world.embeddings))
    assert (made_by["job"], made_by["status"]) == ("embed --beside", "done")
    assert made_by["identity"]["beside"]["output_id"] == base["output_id"]
    assert made_by["spaces"] == {"vision": load_bundle(world.models).resolve().vision_space}
    summary = json.loads((world.sidecar / "summary.json").read_text())
    assert summary["beside"] == {
        "embeddings": str(world.embeddings), "columns": ["frame_times_s", "vision_frames"],
        "sources_not_embedded": 0, "sources_rejected_there": 1,
    }  # fmt: skip


def test_verify_and_status_know_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(world.sidecar)]) == 0
    assert main(["status", str(world.sidecar)]) == 0
    said = capsys.readouterr().out
    assert "10 rows in" in said
    assert "embed --beside, done" in said


def test_a_second_run_does_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = part_files(f"{world.sidecar}/rows")
    command = ["embed", str(world.catalog), "--beside", str(world.embeddings), "--output", str(world.sidecar)]
    assert main([*command, "--models", world.models, *(f"--set={item}" for item in SETTINGS)]) == 0
    assert part_files(f"{world.sidecar}/rows") == before
    assert "nothing to do: all 6 sources" in capsys.readouterr().out


@pytest.mark.slow
def test_what_was_lost_is_made_again_and_nothing_else(copied: World) -> None:
    want = rows(copied.sidecar)
    lost = part_files(f"{copied.sidecar}/rows")[0]
    gone = {row["segment_id"] for row in pq.read_table(lost).to_pylist()}
    Path(lost).unlink()
    summary = beside.run(
        [str(copied.catalog)], str(copied.embeddings), str(copied.sidecar), job(), models=copied.models
    )
    assert summary["counts"]["rows_done_now"] == len(gone)
    got = rows(copied.sidecar)
    assert got.keys() == want.keys()
    for identity, row in want.items():
        np.testing.assert_allclose(got[identity]["vision_frames"], row["vision_frames"], atol=2e-3)


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_added(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = beside.run(
        [str(world.catalog)], str(world.embeddings), str(tmp_path / "out"), job(DENSE), models=world.models,
        dry_run=True, limit=2,
    )  # fmt: skip
    assert planned["beside"]["columns"] == list(columns_of(("frames", "timed", "heard")))
    assert (planned["sources"], planned["to_do"]) == (2, 2)
    assert not list((tmp_path / "out").glob("*"))


def test_training_reads_what_embedding_with_both_would_have_written(world: World) -> None:
    have, added = good(world.embeddings), good(world.sidecar)
    made_by, sidecar = read_manifests(str(world.embeddings), str(world.sidecar), DataSettings())
    selection = join(select(str(world.embeddings), DataSettings()), str(world.embeddings), sidecar)
    assert (selection.vision_dim, selection.frames) == (24, sum(len(row["vision_frames"]) for row in added.values()))
    read = pairs(selection, made_by["spaces"])
    heard = [row for row in have.values() if row["clap_embedding"]]
    assert len(read) == len(heard) == 8
    expected = {told_apart(row["segment_id"]): row for row in heard}
    for key, (condition_V, target_E) in read.items():
        np.testing.assert_array_equal(target_E, np.float32(expected[key]["clap_embedding"]))
        frames = np.array(added[expected[key]["segment_id"]]["vision_frames"], np.float32)
        np.testing.assert_allclose(condition_V, frames.mean(axis=0), atol=1e-3)


@pytest.mark.slow
def test_a_mapper_is_trained_from_both(world: World, tmp_path: Path) -> None:
    with contextlib.chdir(world.catalog.parent):  # workers stand elsewhere
        summary = train.run(
            "embeddings", str(tmp_path / "mapper"), load(TrainJob, job="train", overrides=list(TRAIN)), beside=ODD
        )
    assert summary["counts"]["left_out"]["no row beside"] == 0
    assert summary["counts"]["train"] + summary["counts"]["validation"] == 8
    config, local = load_mapper(str(tmp_path / "mapper")).config, load_bundle(world.models).resolve()
    assert (config.vision_dim, config.vision_space, config.audio_space) == (24, local.vision_space, local.audio_space)
    assert config.training["beside"] == str(world.sidecar)
    assert manifest.load(str(tmp_path / "mapper"))["bundle"]["name"] == "with-blip"


def test_rows_that_only_one_has_are_counted(copied: World, capsys: pytest.CaptureFixture[str]) -> None:
    taken = []
    for part in part_files(f"{copied.sidecar}/rows"):
        table = pq.read_table(part)
        keep = pc.invert(_first_of(table, "rain/one.mp4"))
        taken += table.filter(pc.invert(keep))["segment_id"].to_pylist()
        _rewrite(Path(part), table.filter(keep))
    for part in part_files(f"{copied.embeddings}/rows"):
        table = pq.read_table(part)
        _rewrite(Path(part), table.filter(pc.not_equal(table["source_name"], "still.png")))
    _forget_parts(copied.sidecar)
    _, sidecar = read_manifests(str(copied.embeddings), str(copied.sidecar), DataSettings())
    selection = join(select(str(copied.embeddings), DataSettings()), str(copied.embeddings), sidecar)
    assert selection.left_out["no row beside"] == len(taken) == 1
    assert f"1 rows of {copied.sidecar} have no row in {copied.embeddings}" in capsys.readouterr().err


def _first_of(table, name: str):
    return pc.and_(pc.equal(table["source_name"], name), pc.equal(table["segment_index"], 0))


def _rewrite(part: Path, table) -> None:
    part.unlink()
    if table.num_rows:
        pq.write_table(table, part.with_name(f"part-{part.stem.split('-')[1]}.parquet"))


def _forget_parts(output: Path) -> None:
    made_by = manifest.load(str(output))
    del made_by["contents"]
    storage.write_json(str(output / "manifest.json"), made_by)


def test_a_rejected_row_is_left_out_of_training(copied: World) -> None:
    for part in map(Path, part_files(f"{copied.sidecar}/rows")):
        table = pq.read_table(part)
        if "bell/one.mp4" in table["source_name"].to_pylist():
            mark = pc.if_else(_first_of(table, "bell/one.mp4"), "rejected", table["status"])
            _rewrite(part, table.set_column(table.schema.get_field_index("status"), table.schema.field("status"), mark))
    _forget_parts(copied.sidecar)
    _, sidecar = read_manifests(str(copied.embeddings), str(copied.sidecar), DataSettings())
    selection = join(select(str(copied.embeddings), DataSettings()), str(copied.embeddings), sidecar)
    assert selection.left_out["rejected beside"] == 1


def test_rows_come_in_any_order_from_groups_that_are_read_once(world: World) -> None:
    base = manifest.load(str(world.embeddings))
    sidecar = open_sidecar(str(world.sidecar), str(world.embeddings), base)
    met = meet(str(world.embeddings), part_files(f"{world.embeddings}/rows"), sidecar)
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 2))
    with BesideReader(met.beside, ["segment_id", "vision_frames"]) as reader:
        everything = reader.take(np.arange(10))
        groups = reader.groups_read
        assert reader.take(numbers)["segment_id"].to_pylist() == [
            everything["segment_id"][int(number)].as_py() for number in numbers
        ]
        assert (
            reader.groups_read
            == groups
            == sum(pq.ParquetFile(part).num_row_groups for part in part_files(f"{world.sidecar}/rows"))
        )
        assert reader.take(numbers[:0]).num_rows == 0


def ask(world: World, output: Path, *overrides: str, models: str | None = None, catalog: Path | None = None) -> None:
    beside.run(
        [str(catalog or world.catalog)], str(world.embeddings), str(output), job(*overrides),
        models=models or world.models,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("segments.length_s=2.0", r"segments\.length_s: the embeddings have 1\.0, this run 2\.0"),
        ("frames.max_frames=3", r"frames\.max_frames: the embeddings have 600, this run 3"),
    ],
)
def test_other_segments_are_refused(world: World, tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(world, tmp_path / "out", override)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_has_nothing_to_add_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is nothing to add to .*embeddings: it is of the vision space 'ViT-m"):
        ask(world, tmp_path / "out", models="miniature")


def test_another_catalog_is_refused(world: World, tmp_path: Path) -> None:
    helpers_catalog.still(tmp_path / "other" / "still.png")
    with pytest.raises(ConfigError, match="has no good row of any of the 1 sources of the catalog"):
        ask(world, tmp_path / "out", catalog=tmp_path / "other")


def test_a_sidecar_is_no_base_and_embeddings_are_no_sidecar(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is an output of `v2a embed --beside`, an output of `v2a embed` is needed"):
        ask(world._replace(embeddings=world.sidecar), tmp_path / "out")
    with pytest.raises(ConfigError, match="is an output of `v2a embed`, an output of `v2a embed --beside` is needed"):
        read_manifests(str(world.embeddings), str(world.embeddings), DataSettings())
    with pytest.raises(ConfigError, match="is an output of `v2a embed`, an output of `v2a embed --beside` is needed"):
        ask(world, world.embeddings)


def test_a_sidecar_of_other_embeddings_is_refused(copied: World) -> None:
    made_by = manifest.load(str(copied.embeddings))
    storage.write_json(str(copied.embeddings / "manifest.json"), {**made_by, "output_id": "another"})
    with pytest.raises(ConfigError, match=r"was made beside other embeddings, .*output_id another\)"):
        read_manifests(str(copied.embeddings), str(copied.sidecar), DataSettings())
    with pytest.raises(ConfigError, match=r"beside\.output_id: the output has '\w+', this run 'another'"):
        ask(copied, copied.sidecar)


@pytest.mark.slow
def test_a_part_that_is_gone_or_damaged_is_named(copied: World) -> None:
    first, second = map(Path, part_files(f"{copied.sidecar}/rows")[:2])
    group, content = pq.ParquetFile(second).metadata.row_group(0), bytearray(second.read_bytes())
    columns = [group.column(index) for index in range(group.num_columns)]
    (seen,) = [column for column in columns if column.path_in_schema.startswith("vision_frames.")]
    content[seen.data_page_offset + seen.total_compressed_size // 2] ^= 255  # ids are whole, what is joined is not
    second.write_bytes(content)
    with pytest.raises(UnreadablePartError, match=rf"{second.name} is damaged"):
        joined_rows(copied)
    first.unlink()
    with pytest.raises(ConfigError, match=rf"has lost {first.name} with \d rows: restore it, or `v2a verify"):
        joined_rows(copied)
    assert main(["verify", str(copied.sidecar)]) == 1
    assert main(["verify", str(copied.sidecar), "--repair"]) == 0
    ask(copied, copied.sidecar)
    assert main(["verify", str(copied.sidecar)]) == 0
    assert len(joined_rows(copied)) == 8


def test_a_part_of_another_output_and_a_stray_file_are_told_apart(copied: World, world: World) -> None:
    folder = copied.sidecar / "rows"
    (folder / "notes é %20.parquet").write_text("nobody's")  # no part, and none is meant
    assert len(joined_rows(copied)) == 8
    shutil.copy(part_files(f"{world.embeddings}/rows")[0], folder / "part-7-é #%20.parquet")
    with pytest.raises(UnreadablePartError, match="belongs to another output"):
        joined_rows(copied)


def test_an_unfinished_sidecar_is_refused_by_trainings(copied: World) -> None:
    made_by = manifest.load(str(copied.sidecar))
    storage.write_json(str(copied.sidecar / "manifest.json"), {**made_by, "status": "running"})
    with pytest.raises(ConfigError, match=r"is not finished \(status 'running'\)"):
        joined_rows(copied)
    read_manifests(str(copied.embeddings), str(copied.sidecar), DataSettings(allow_unfinished=True))


@pytest.mark.slow
def test_the_pairs_are_those_of_embeddings_by_the_other_bundle(world: World, tmp_path: Path) -> None:
    whole = str(tmp_path / "whole")
    embed.run([str(world.catalog)], whole, job(), models=world.models)
    want = pairs(select(whole, DataSettings()), manifest.load(whole)["spaces"])
    got = joined_rows(world)
    assert got.keys() == want.keys()
    for key, (condition_V, target_E) in want.items():
        np.testing.assert_allclose(got[key][0], condition_V, atol=2e-3)
        np.testing.assert_allclose(got[key][1], target_E, atol=1e-3)


def opened(catalog: Path) -> set[str]:
    """Names of the videos that were decoded since this was asked the last time."""
    notes = list(catalog.rglob("*.pid"))
    for note in notes:
        note.unlink()
    return {note.stem for note in notes}


@pytest.mark.slow
def test_soundtracks_from_both_are_those_that_decoding_makes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", load_bundle(world.models).resolve())
    watched = functools.partial(DecodeSettings, decoder="planted_decoders:by_name")
    monkeypatch.setattr(conditions, "DecodeSettings", watched)
    steps = ("generator.num_inference_steps=2", "generator.precision=fp32", "decoder.confine=false")
    settings = load(GenerateJob, job="generate", overrides=[*SETTINGS, *steps])
    catalog = [str(world.catalog / "rain"), str(world.catalog / "bell")]
    asked = {"mapper": mapper, "models": world.models}
    generate.run(catalog, str(tmp_path / "plain"), settings, **asked)
    assert opened(world.catalog)
    both = {"embeddings": str(world.embeddings), "beside": str(world.sidecar)}
    generate.run(catalog, str(tmp_path / "joined"), settings, **both, **asked)
    assert not opened(world.catalog)
    want, got = (
        {row["source_uri"]: row for row in helpers_outputs.index_rows(tmp_path / name)} for name in ("plain", "joined")
    )
    assert got.keys() == want.keys()
    assert len(got) == 3
    for name, row in got.items():
        assert row["segment_ids"] == want[name]["segment_ids"]
        np.testing.assert_allclose(row["conditions"], want[name]["conditions"], atol=5e-3)
        np.testing.assert_allclose(
            soundfile.read(row["audio_path"])[0], soundfile.read(want[name]["audio_path"])[0], atol=5e-3
        )


@pytest.mark.slow
def test_a_sidecar_of_another_space_than_the_mapper_wants_is_refused(world: World, tmp_path: Path) -> None:
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", load_bundle("miniature").resolve())
    settings = load(GenerateJob, job="generate", overrides=list(CUT))
    both = {"embeddings": str(world.embeddings), "beside": str(world.sidecar)}
    with pytest.raises(
        ConfigError, match=r"with .*beside #1.* were made differently(.|\n)*vision space: .* have 'tiny-blip:"
    ):
        generate.run([str(world.catalog)], str(tmp_path / "out"), settings, mapper=mapper, models="miniature", **both)


@pytest.mark.slow
def test_denser_frames_lie_beside_embeddings_without_them(world: World, tmp_path: Path) -> None:
    """The same encoder: only what the embeddings lack, and the predictor learns what it would from one table."""
    catalog, dense, whole = [str(world.catalog)], str(tmp_path / "dense"), str(tmp_path / "whole")
    beside.run(catalog, str(world.embeddings), dense, job(DENSE), models="miniature")
    written = pq.read_schema(part_files(f"{dense}/rows")[0]).names
    assert set(columns_of(("timed", "heard"))) <= set(written)
    assert "vision_frames" not in written
    assert main(["verify", dense]) == 0
    embed.run(catalog, whole, job(DENSE), models="miniature")
    have, want = good(dense), good(whole)
    assert have.keys() == want.keys()
    for identity, row in have.items():
        for name in columns_of(("timed", "heard")):
            if want[identity][name] is None:
                assert row[name] is None
            else:
                np.testing.assert_allclose(row[name], want[identity][name], atol=2e-3)
    settings = load(TimingJob, job="train-timing", overrides=list(TIMING))
    both = train_timing.run(str(world.embeddings), str(tmp_path / "both"), settings, beside=dense)
    one = train_timing.run(whole, str(tmp_path / "one"), settings)
    assert both["counts"]["train"] == one["counts"]["train"]
    assert both["best"]["validation_loss"] == pytest.approx(one["best"]["validation_loss"], abs=2e-3)


@pytest.mark.slow
def test_denser_frames_of_the_embeddings_are_not_looked_at_with_another_encoder(world: World, tmp_path: Path) -> None:
    """A predictor looks through one encoder: not at frames of the first one in the space of the second."""
    catalog, whole = [str(world.catalog)], str(tmp_path / "whole")
    embed.run(catalog, whole, job(DENSE), models="miniature")
    beside.run(catalog, whole, str(tmp_path / "frames"), job(), models=world.models)
    settings = load(TimingJob, job="train-timing", overrides=list(TIMING))
    with pytest.raises(ConfigError, match="holds nothing to learn from when things sound"):
        train_timing.run(whole, str(tmp_path / "out"), settings, beside=str(tmp_path / "frames"))
    beside.run(catalog, whole, str(tmp_path / "dense"), job(DENSE), models=world.models)
    written = pq.read_schema(part_files(f"{tmp_path / 'dense'}/rows")[0]).names
    assert {"vision_frames", "timing_frames"} <= set(written)
    assert "timing_level" not in written  # which the embeddings have
    planned = train_timing.run(whole, str(tmp_path / "out"), settings, beside=str(tmp_path / "dense"), dry_run=True)
    assert planned["beside"] == str(tmp_path / "dense")


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_sigkill_half_way_then_the_same_command(world: World, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    command = [
        "embed", str(world.catalog), "--beside", str(world.embeddings), "--output", str(output),
        "--models", world.models, *(f"--set={item}" for item in (*SETTINGS, "pools.sources_per_block=1")),
    ]  # fmt: skip
    environment = job_environment(RAY_ADDRESS=ray.get_runtime_context().gcs_address)
    process = subprocess.Popen(
        [sys.executable, "-m", "workflows.cli", *command], env=environment, start_new_session=True
    )
    wait_until(lambda: len(part_files(f"{output}/rows")) >= 1, process, 120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(command) == 0
    got, want = rows(output), rows(world.sidecar)
    assert got.keys() == want.keys()
    for identity, row in want.items():
        np.testing.assert_allclose(got[identity]["vision_frames"], row["vision_frames"], atol=2e-3)
