"""A job that is killed, and run again, ends with the rows of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import helpers_catalog
import numpy as np
import pyarrow.parquet as pq
import pytest

from v2a_core.ledger import part_files

SETTINGS = [
    "--set=segments.length_s=1.0", "--set=frames.frames_per_second=2.0", "--set=output.interval_s=0",
    "--set=pools.sources_per_block=1", "--set=pools.segments_per_batch=1",
]  # fmt: skip


def command(catalog, output):
    tool = [sys.executable, "-m", "workflows.embed", str(catalog), "--output", str(output), "--models", "miniature"]
    return [*tool, *SETTINGS]


def rows(output) -> dict[str, dict]:
    read = [row for part in part_files(str(output)) for row in pq.read_table(part).to_pylist()]
    assert len({row["segment_id"] for row in read}) == len(read)
    return {row["segment_id"]: row for row in read}


def environment():
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**clean, "OMP_NUM_THREADS": "1"}


@pytest.mark.timeout(280)
def test_sigkill_half_way_then_the_same_command(tmp_path):
    catalog = tmp_path / "catalog"
    for index in range(10):
        helpers_catalog.video(catalog / f"{index}.mp4", 3.0, hue=25 * index, tone_hz=200 + 60 * index)
    output = tmp_path / "killed"
    process = subprocess.Popen(command(catalog, output), env=environment(), start_new_session=True)
    deadline = time.monotonic() + 120
    while len(part_files(str(output))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    half = rows(output)
    assert 0 < len(half) < 30
    subprocess.run(command(catalog, output), env=environment(), check=True, timeout=120)
    undisturbed = tmp_path / "undisturbed"
    subprocess.run(command(catalog, undisturbed), env=environment(), check=True, timeout=120)
    got, want = rows(output), rows(undisturbed)
    assert got.keys() == want.keys()
    assert len(got) == 30
    for identity, row in want.items():
        np.testing.assert_allclose(got[identity]["clap_embedding"], row["clap_embedding"], atol=1e-3)
        np.testing.assert_allclose(got[identity]["clip_frames"], row["clip_frames"], atol=2e-3)
