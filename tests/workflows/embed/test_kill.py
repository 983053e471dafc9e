"""A job that is killed, and run again, ends with the rows of an undisturbed run."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import helpers_catalog
import numpy as np
import pytest
import ray
from helpers_outputs import assert_same_embeddings, segment_rows
from helpers_processes import below, command_of, job_environment, wait_until

from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main

SETTINGS = [
    "--set=segments.length_s=1.0", "--set=frames.frames_per_second=2.0", "--set=output.interval_s=0",
    "--set=pools.sources_per_block=1", "--set=pools.segments_per_batch=1",
]  # fmt: skip


def command(catalog, output):
    tool = [sys.executable, "-m", "workflows.embed", str(catalog), "--output", str(output), "--models", "miniature"]
    return [*tool, *SETTINGS]


def has_more_rows(output, before: int) -> bool:
    return len(segment_rows(output)) > before


@pytest.mark.timeout(280)
def test_sigkill_half_way_then_the_same_command(ray_session, tmp_path):
    catalog = tmp_path / "catalog"
    for index in range(5):
        helpers_catalog.video(catalog / f"{index}.mp4", 2.0, hue=40 * index, tone_hz=200 + 60 * index)
    output = tmp_path / "killed"
    # In the Ray of the tests: what starts a Ray of its own takes longer.
    environment = job_environment(RAY_ADDRESS=ray.get_runtime_context().gcs_address)
    process = subprocess.Popen(command(catalog, output), env=environment, start_new_session=True)
    wait_until(lambda: len(part_files(f"{output}/rows")) >= 2, process, 120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    half = segment_rows(output)
    assert 0 < len(half) < 10
    assert main(["embed", *command(catalog, output)[3:]]) == 0
    undisturbed = tmp_path / "undisturbed"
    assert main(["embed", *command(catalog, undisturbed)[3:]]) == 0
    got, want = segment_rows(output), segment_rows(undisturbed)
    assert got.keys() == want.keys()
    assert len(got) == 10
    for identity, row in want.items():
        np.testing.assert_allclose(got[identity]["clap_embedding"], row["clap_embedding"], atol=1e-3)
        np.testing.assert_allclose(got[identity]["vision_frames"], row["vision_frames"], atol=2e-3)


def start(catalog, output, **more):
    variables = job_environment(**more)
    with open(f"{output}.log", "ab") as log:
        return subprocess.Popen(command(catalog, output), env=variables, start_new_session=True, stdout=log, stderr=log)


def finish(catalog, output):
    subprocess.run(command(catalog, output), env=job_environment(), check=True, timeout=600)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A catalog of 12 videos of 5 segments, and the rows of an undisturbed run."""
    folder = tmp_path_factory.mktemp("world")
    for index in range(12):
        helpers_catalog.video(folder / "catalog" / f"{index}.mp4", 5.0, hue=20 * index, tone_hz=200 + 50 * index)
    finish(folder / "catalog", folder / "undisturbed")
    return folder / "catalog", segment_rows(folder / "undisturbed")


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twenty_random_kills_of_the_driver(world, tmp_path):
    """Every fourth at any time, the others soon after rows were added; some runs see several, in a row."""
    catalog, want = world
    draw, half_done, outputs = random.Random(0), 0, []
    for moment in range(20):
        if moment % 4 == 0 or len(segment_rows(outputs[-1])) == len(want):
            outputs.append(tmp_path / f"output{moment}")
        output = outputs[-1]
        before = len(segment_rows(output))
        process = start(catalog, output)
        if moment % 4 == 3:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=draw.uniform(0, 15))
        else:
            wait_until(functools.partial(has_more_rows, output, before), process)
            time.sleep(draw.uniform(0, 0.5))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        found = segment_rows(output)
        assert set(found) <= set(want)
        half_done += before < len(found) < len(want)
    for output in outputs:
        finish(catalog, output)
        assert_same_embeddings(segment_rows(output), want)
    print(f"{half_done} of 20 kills left more rows than before, and not all")
    assert half_done >= 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_actors_and_tasks_are_replaced(world, tmp_path):
    catalog, want = world
    output = tmp_path / "output"
    process = start(catalog, output)
    moments, killed = random.Random(1), Counter()
    while process.poll() is None:
        time.sleep(moments.uniform(1, 4))
        if not part_files(f"{output}/rows") or killed.total() >= 4:
            continue
        for child in below(process.pid):
            name = command_of(child)
            if name.startswith("ray::") and "Map" in name and killed[name] == 0:
                os.kill(child, signal.SIGKILL)
                killed[name] += 1
                break
    assert process.returncode == 0, (tmp_path / "output.log").read_text()[-3000:]
    assert killed.total() > 0
    assert_same_embeddings(segment_rows(output), want)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lost_node_loses_no_row(world, tmp_path):
    from ray.cluster_utils import Cluster

    catalog, want = world
    output = tmp_path / "output"
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False)
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        process = start(catalog, output, RAY_ADDRESS=cluster.address)
        wait_until(lambda: part_files(f"{output}/rows"), process)
        assert 0 < len(segment_rows(output)) < len(want)
        cluster.remove_node(nodes[0], allow_graceful=False)
        assert process.wait(timeout=600) == 0, Path(f"{output}.log").read_text()[-3000:]
    finally:
        cluster.shutdown()
    assert_same_embeddings(segment_rows(output), want)
