from __future__ import annotations

import json

import helpers_embeddings as world
import pytest
import yaml

from v2a_core.config import CONFIG_ROOT, ConfigError
from v2a_core.mappers import load_mapper
from workflows.train import sweep as train_sweep
from workflows.training.config import TrainingStoppedError

BASE = {
    "mapper": {"network": {"kind": "mlp", "width": 32, "depth": 1}},
    "training": {"epochs": 2, "global_batch": 64, "precision": "fp32", "validation": {"sampled_rows": 16}},
    "scaling": {"max_failures": 0, "threads": 1},
}


def sweep_file(folder, runs, **more):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"base": BASE, "runs": runs, **more}))
    return str(path)


@pytest.mark.slow
def test_a_run_and_one_that_fails_end_in_one_table(ray_session, tmp_path, capsys):
    embeddings = world.write(tmp_path / "e", world.table(200))
    learns = {"method": {"kind": "regression"}}
    runs = {
        "cannot": {"mapper": learns},
        "learns": {"mapper": learns, "training": {"optimizer": {"learning_rate": 5e-3}}},
    }
    sweep = train_sweep.load_sweep(sweep_file(tmp_path, runs, title="Two"), ["seed=4"])
    assert {job.seed for job in sweep.jobs.values()} == {4}
    # A run that cannot work costs only itself: its folder is a file.
    output = tmp_path / "sweep"
    output.mkdir()
    (output / "cannot").write_text("")
    with pytest.raises(TrainingStoppedError, match="1 of 2 runs failed: cannot"):
        train_sweep.run_sweep(embeddings, str(output), sweep)
    told = json.loads((output / "sweep.json").read_text())
    assert [row["name"] for row in told["runs"]] == ["learns", "cannot"]
    assert told["runs"][1]["error"]
    table = (output / "sweep.md").read_text()
    assert table in capsys.readouterr().out
    assert table.index("| learns |") < table.index("| cannot |")
    assert load_mapper(str(output / "learns")).fingerprint == told["runs"][0]["fingerprint"]


def test_the_papers_ablations_are_the_papers():
    sweep = train_sweep.load_sweep("paper-ablations")
    kinds = {(job.mapper.method.kind, job.mapper.network.kind, job.mapper.aggregator) for job in sweep.jobs.values()}
    assert kinds == {
        ("regression", "mlp", "average"),
        ("regression", "transformer", "average"),
        ("diffusion", "mlp", "average"),
        ("diffusion", "transformer", "average"),
        ("diffusion", "transformer", "random"),
        ("diffusion", "transformer", "middle"),
    }
    assert len(sweep.jobs) == 6


@pytest.mark.parametrize("path", sorted((CONFIG_ROOT / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_loads(path):
    assert train_sweep.load_sweep(path.stem).jobs


def test_a_wrong_run_is_named(tmp_path):
    source = sweep_file(tmp_path, {"good": {}, "bad": {"training": {"epoch": 3}}})
    with pytest.raises(ConfigError, match=r"run 'bad': unknown key 'training\.epoch'.*'training\.epochs'"):
        train_sweep.load_sweep(source)


def test_another_kind_replaces_its_group():
    merged = train_sweep.merge(
        {"method": {"kind": "a", "x": 1}, "n": {"y": 1}}, {"method": {"kind": "b"}, "n": {"z": 2}}
    )
    assert merged == {"method": {"kind": "b"}, "n": {"y": 1, "z": 2}}


def test_runs_without_the_metric_come_last():
    rows = [{"name": name, "best": best} for name, best in (("none", None), ("far", {"validation_frechet": 2.0}))]
    rows.append({"name": "near", "best": {"validation_frechet": 1.0}})
    assert [row["name"] for row in train_sweep.sort_rows(rows, "validation_frechet")] == ["near", "far", "none"]
