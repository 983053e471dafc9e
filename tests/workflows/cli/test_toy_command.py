"""A job of another package: found by its entry point, on the command line and in the frame of streaming jobs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import helpers_catalog
import pytest
import ray
from helpers_processes import job_environment

from v2a_core.outputs.ledger import read_columns

TOYS = Path(__file__).parents[2] / "helpers" / "toys"
SHORT = ("--models=miniature", "--set=segments.length_s=1.0", "--set=output.interval_s=0")


@pytest.fixture(scope="module")
def environment(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As if the toy was installed, and a package whose command cannot be imported; with the Ray of the tests."""
    site = tmp_path_factory.mktemp("site")
    for name, line in (("toy", "brightness = toy_brightness.command"), ("broken", "broken = no_such_module_here")):
        folder = site / f"v2a_{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: v2a-{name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[v2a.commands]\n{line}\n")
    paths = [str(site), str(TOYS), *filter(None, [os.environ.get("PYTHONPATH")])]
    address = ray.get_runtime_context().gcs_address
    return job_environment(PYTHONPATH=os.pathsep.join(paths), RAY_ADDRESS=address)


def v2a(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflows.cli", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


# One process for several commands: what each starts with is loaded once.
SEVERAL = """
import json, sys
from workflows.cli.main import main
for command in json.loads(sys.argv[1]):
    print("exit code", main(command), flush=True)
"""


@pytest.mark.slow
def test_a_job_of_another_package_runs_as_ours_do(environment: dict[str, str], tmp_path: Path) -> None:
    catalog, output = tmp_path / "catalog", tmp_path / "output"
    for index in range(3):
        helpers_catalog.video(catalog / f"{index}.mp4", 2.0, hue=50 * index)
    (catalog / "broken.mp4").write_bytes(b"no video")
    (catalog / "cut.tar").write_bytes(b"no shard")
    job = ["brightness", str(catalog), "--output", str(output), *SHORT]
    commands = json.dumps([[*job, "--max-reject-share=1", "--dark=0.9"], [*job, "--dark=0.9"], [*job, "--dark=0.5"]])
    command = [sys.executable, "-c", SEVERAL, commands]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert re.findall(r"^exit code (\d)$", done.stdout, re.MULTILINE) == ["0", "0", "2"], done.stderr
    assert "nothing to do: all 5 sources were done before" in done.stdout
    assert "dark: the output has 0.9, this run 0.5" in done.stderr
    rows = read_columns(f"{output}/rows", ["source_name", "status", "brightness", "dark"])
    assert rows is not None
    good = [row for row in rows.to_pylist() if row["status"] == "ok"]
    assert sorted(row["source_name"] for row in good) == [f"{index}.mp4" for index in (0, 0, 1, 1, 2, 2)]
    assert all(0 < row["brightness"] < 1 and row["dark"] == (row["brightness"] < 0.9) for row in good)
    rejected = {row["source_name"]: row["brightness"] for row in rows.to_pylist() if row["status"] == "rejected"}
    assert rejected == {"broken.mp4": None, "cut": None}
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["job"], summary["counts"]["sources"]) == ("brightness", 5)


def test_commands_of_other_packages_stand_in_the_help(environment: dict[str, str], tmp_path: Path) -> None:
    listed = v2a(environment, "--help")
    assert "how bright each segment of a catalog is" in listed.stdout
    assert "segments below this are dark" in v2a(environment, "brightness", "--help").stdout
    assert "cannot be used" in listed.stdout
    broken = v2a(environment, "broken")
    assert broken.returncode == 2
    assert "no_such_module_here" in broken.stderr
    assert "Traceback" not in broken.stderr
