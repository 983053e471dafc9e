"""Each benchmark runs, at its smallest: what nobody runs is found broken on the day its numbers are wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALLEST = {
    "adapter": ["--sizes", "s", "--length-s", "0.64", "--repeat", "1"],
    "beside": ["2000"],
    "bounded": ["--sources", "2", "4"],
    "commit": ["--rows", "2048"],
    "decode": [],
    "embed": ["--segments", "4", "--plain-segments", "1", "--rounds", "1"],
    "evaluate": ["--sounds", "4", "--few", "2", "--rounds", "1", "--extractors", "wav2clip"],
    "evaluate_memory": ["20", "40"],
    "figures": [],
    "generate": ["miniature", "--clips", "1", "--paper-steps", "2"],
    "memory": [sys.executable, "-c", "pass"],
    "plan": ["embed", "--share", "0.05", "--tolerance", "100"],
    "scale": ["200"],
    "simulate": [
        *("--output", "simulated", "--workers", "2", "3", "4", "--tolerance", "100"),
        *("--segments", "20000", "--nodes", "1", "4"),
    ],
    "start_up": ["--rounds", "1"],
    "train": ["--steps", "2", "--rounds", "1", "--rows", "8", "--without-prior"],
}

IMPORTED = ["matmul", "peak", "processes", "queues", "simulation_figures", "sleeping"]  # by the others


def test_all_benchmarks_are_known():
    assert sorted([*SMALLEST, *IMPORTED]) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs(name, tmp_path):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *SMALLEST[name]]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-2000:]
