"""What is private to Ray: on a Ray that is not known, the public way, and one warning that says what is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import ray
import soundfile
from helpers_processes import job_environment
from ray._private import ray_constants, worker
from ray.data import DataContext
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator

from workflows.cluster_runtime import ray_private

# `python -c`, with a version of Ray that is known, or a word that is none, and the words of a command.
PRETEND = """
import sys
from workflows.cluster_runtime import ray_private
if sys.argv[1] == "unknown":
    ray_private.TESTED = ("1.0",)
from workflows.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
QUICK = (
    "--mapper=none", "--models=miniature", "--set=generator.num_inference_steps=1", "--set=segments.length_s=1.0",
)  # fmt: skip


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_private, "TESTED", ("1.0",))
    monkeypatch.setattr(ray_private, "_told", set())


def test_the_version_that_is_pinned_is_known() -> None:
    constraints = (Path(__file__).parents[3] / "constraints.txt").read_text()
    (pinned,) = re.findall(r"^ray(?:\[.*\])?==(\S+)", constraints, re.MULTILINE)
    assert pinned in ray_private.TESTED


def test_an_unknown_ray_is_left_as_it_is(unknown: None, capsys: pytest.CaptureFixture[str]) -> None:
    context = DataContext.get_current().copy()
    policies = context.get_config("backpressure_policies.enabled")  # a job before this one may have set them
    before = (worker.print_to_stdstream, ray_constants.ENABLE_RAY_CLUSTER, vars(ActorPoolMapOperator).copy())
    ray_private.keep_quiet()
    ray_private.listen_on_loopback()
    ray_private.pass_arguments_by_value()
    ray_private.bound_wait_for_locations()
    ray_private.limit_look_ahead(context, 12345)
    ray_private.leave_sigint(object())
    assert ray_private.cluster_here() is None
    assert ray_private.checkpoint_list_name() is None
    assert before == (worker.print_to_stdstream, ray_constants.ENABLE_RAY_CLUSTER, vars(ActorPoolMapOperator))
    assert context.get_config("backpressure_policies.enabled") == policies
    assert context.get_config("v2a.look_ahead_blocks") != 12345
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"v2a: Ray {ray.__version__} is none of the versions that this program knows from inside")
    assert ray_private.LOOPBACK in told
    assert ray_private.RESTARTS in told


def test_what_is_missing_in_a_known_ray_is_told_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_private, "_told", set())
    monkeypatch.setattr(ray_private, "TESTED", (ray.__version__,))
    monkeypatch.delattr(ray_constants, "ENABLE_RAY_CLUSTER")
    monkeypatch.delenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, raising=False)
    ray_private.listen_on_loopback()
    ray_private.listen_on_loopback()
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ
    (told,) = capsys.readouterr().err.splitlines()
    assert "ENABLE_RAY_CLUSTER" in told
    assert told.endswith(ray_private.LOOPBACK)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_on_an_unknown_ray_makes_the_same(tmp_path: Path) -> None:
    for index in range(2):
        helpers_catalog.video(tmp_path / "catalog" / f"{index}.mp4", 2.0, hue=90 * index)
    sounds, errors = [], []
    for version in ("known", "unknown"):
        output = tmp_path / version
        command = [sys.executable, "-c", PRETEND, version, "generate", tmp_path / "catalog", "--output", output, *QUICK]
        done = subprocess.run(
            list(map(str, command)), env=job_environment(), capture_output=True, text=True, timeout=290, check=False
        )
        assert done.returncode == 0, done.stderr
        errors.append(done.stderr)
        rows = helpers_outputs.index_rows(output)
        assert {row["status"] for row in rows} == {"ok"}
        sounds.append({row["source_name"]: soundfile.read(row["audio_path"])[0] for row in rows})
    assert sounds[0].keys() == sounds[1].keys() == {"0.mp4", "1.mp4"}
    for name, samples in sounds[0].items():  # not the files: the order of their tags is left to chance
        np.testing.assert_allclose(samples, sounds[1][name], atol=1e-3)
    assert "knows from inside" not in errors[0]
    assert errors[1].count("is none of the versions that this program knows from inside") == 1
