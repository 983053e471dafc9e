from __future__ import annotations

import json
from pathlib import Path

import helpers_embeddings as world
import pytest
from helpers_training import LINEAR, diverging

from v2a_core.config import ConfigError, load
from v2a_core.mappers import load_mapper
from workflows.cli.main import main
from workflows.cluster_runtime import connection
from workflows.train import job as train
from workflows.train.config import TrainJob
from workflows.training import fit as train_fit


def job(*overrides: str) -> TrainJob:
    return load(TrainJob, job="train", overrides=[*LINEAR, *overrides])


@pytest.fixture(scope="module")
def embeddings(linear) -> str:
    return linear


@pytest.fixture(scope="module")
def trained(watched):
    return watched.output, watched.summary


@pytest.fixture(scope="module")
def trained_alone(ray_session, embeddings, tmp_path_factory):
    return train.run(embeddings, str(tmp_path_factory.mktemp("alone") / "mapper"), job())


def steps(output: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]


def test_two_workers_train_and_export_a_mapper(trained, capsys):
    output, summary = trained
    assert summary["status"] == "done"
    assert summary["steps"] == 15
    assert summary["counts"]["left_out"]["rejected"] == 10
    assert summary["counts"]["train"] + summary["counts"]["validation"] == 290
    assert summary["best"]["validation_cosine"] > 0.3
    assert steps(output) == [5, 10, 15]
    assert (output / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((output / "summary.json").read_text()) == summary
    assert json.loads((output / "manifest.json").read_text())["status"] == "done"


def test_the_exported_mapper_is_the_best_one(trained):
    output, summary = trained
    mapper = load_mapper(str(output))
    assert mapper.fingerprint == summary["fingerprint"]
    assert (mapper.config.vision_space, mapper.config.audio_space) == (world.SPACES["vision"], world.SPACES["audio"])
    assert mapper.config.training["best"] == summary["best"]
    seen, heard = world.vectors(300)
    mapped = mapper.map(seen, [0] * 300)
    assert (mapped * heard).sum(axis=1).mean() == pytest.approx(summary["best"]["validation_cosine"], abs=0.15)


def test_a_finished_output_is_not_trained_again(trained, embeddings, capsys):
    output, summary = trained
    before = (output / "mapper.safetensors").stat().st_mtime_ns
    # Workers change how fast it comes, not what comes.
    assert train.run(embeddings, str(output), job("scaling.workers=1")) == summary
    assert "nothing to do" in capsys.readouterr().out
    assert (output / "mapper.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_another_configuration_is_refused_before_ray_starts(trained, embeddings, monkeypatch, dry_run):
    output, _ = trained
    before = sorted(path.name for path in output.iterdir())
    monkeypatch.setattr(connection, "connect", lambda address: pytest.fail("Ray was started"))
    with pytest.raises(ConfigError, match=r"identity\.training\.epochs: the output has 3, this run 4"):
        train.run(embeddings, str(output), job("training.epochs=4"), dry_run=dry_run)
    assert sorted(path.name for path in output.iterdir()) == before


@pytest.mark.slow
def test_one_worker_learns_what_two_learn(trained, trained_alone):
    for name in ("train_loss", "validation_loss", "validation_cosine"):
        assert trained_alone["last"][name] == pytest.approx(trained[1]["last"][name], rel=1e-3)


@pytest.mark.slow
def test_a_run_that_diverged_keeps_its_checkpoint_and_goes_on(trained_alone, embeddings, tmp_path, monkeypatch):
    output = tmp_path / "mapper"
    with monkeypatch.context() as patch:
        patch.setattr(train_fit, "train_worker", diverging(train_fit.train_worker))
        with pytest.raises(train_fit.TrainingStoppedError, match=r"not finite by step 10 of 15: lower"):
            train.run(embeddings, str(output), job())
    assert not (output / "config.json").exists()
    summary = train.run(embeddings, str(output), job())
    assert summary["continued_from"] == 5
    assert steps(output) == [5, 10, 15]
    assert summary["fingerprint"] == trained_alone["fingerprint"]  # the same weights, bit for bit


@pytest.mark.slow
def test_a_plan_counts_and_times_what_a_run_would_do(ray_session, embeddings, tmp_path, capsys):
    settings = (f"--set={item}" for item in LINEAR)
    assert main(["train", embeddings, "--output", str(tmp_path / "mapper"), "--dry-run", *settings]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["rows"]["train"] + planned["rows"]["validation"] == 290
    assert planned["left_out"]["rejected"] == 10
    assert (planned["steps"], planned["steps_per_epoch"]) == (15, 5)
    assert planned["mapper_parameters"]["diffusion transformer"] == 48_792_960
    assert planned["placement"].startswith("memory")
    assert planned["storage"]["output"] == "list, write, read and delete work"
    needed = planned["estimate"]
    assert needed["step_s"] > 0
    assert needed["seconds"] >= needed["start_s"] + 15 * needed["step_s"] - 0.1  # told to a tenth of a second
    assert needed["start_s"] > 0
    assert not (tmp_path / "mapper").exists()


def test_what_the_cluster_cannot_place_is_refused(ray_session, embeddings, tmp_path):
    with pytest.raises(ConfigError, match="needs 64 CPU, the cluster has 2"):
        train.run(embeddings, str(tmp_path / "mapper"), job("scaling.workers=64"))


def test_embeddings_of_another_bundle_are_refused(embeddings, tmp_path):
    with pytest.raises(ConfigError, match=r"made with the bundle 'linear', --models asks for 'paper'"):
        train.run(embeddings, str(tmp_path / "mapper"), job(), models="paper")


def losses(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_shares_of_the_rows_teach_the_same(trained, ray_session, embeddings, tmp_path):
    output = tmp_path / "mapper"
    summary = train.run(embeddings, str(output), job("scaling.workers=2", "data.placement=sharded"))
    for name in ("train_loss", "validation_loss", "validation_cosine"):
        assert summary["last"][name] == pytest.approx(trained[1]["last"][name], rel=1e-3)


@pytest.mark.slow
def test_a_stream_teaches_too_and_drops_no_row(ray_session, embeddings, tmp_path):
    output = tmp_path / "mapper"
    more = ("scaling.workers=2", "scaling.cpus_per_worker=0.25", "data.placement=stream", "training.log_every_steps=1")
    summary = train.run(embeddings, str(output), job(*more))
    assert losses(output)[-1]["pairs"] == 3 * summary["counts"]["train"]
    assert summary["best"]["validation_cosine"] > 0.3


@pytest.mark.slow
def test_what_a_run_leaves_behind(trained):
    output, summary = trained
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "README.md", "curves.png", "cosine-histogram.png", "projection.png", "losses.jsonl", "metrics.jsonl",
        "mapper.safetensors", "config.json", "tensorboard",
    }  # fmt: skip
    assert len(list((output / "tensorboard").glob("*tfevents*"))) == 1
    assert f"{summary['parameters']:,} parameters" in (output / "README.md").read_text()
    assert {"validation_recall_at_1", "validation_median_rank", "validation_frechet", "validation_variance_ratio"} <= (
        summary["best"].keys()
    )
    # The last two checkpoints are kept, and nothing half-written.
    assert len(list((output / "checkpoints").glob("checkpoint_*/"))) == 2


@pytest.mark.slow
def test_no_improvement_ends_with_its_exit_code_and_the_best_mapper(ray_session, embeddings, tmp_path, capsys):
    output = str(tmp_path / "mapper")
    more = ("training.epochs=40", "training.validation.patience=1", "training.optimizer.learning_rate=0.5")
    command = ["train", embeddings, "--output", output, *(f"--set={item}" for item in (*LINEAR, *more))]
    assert main(command) == 4
    assert "training stopped: no better loss in 1 validations" in capsys.readouterr().err
    summary = json.loads((tmp_path / "mapper" / "summary.json").read_text())
    assert summary["status"] == "stopped"
    assert load_mapper(output).config.training["best"]["step"] == summary["best"]["step"] < summary["steps"]
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
