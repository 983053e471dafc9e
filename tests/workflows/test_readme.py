"""The README's commands: those of the quick start run as they stand, all others are commands of the program."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyarrow.compute as pc
import pytest
from helpers_processes import job_environment

from v2a_core.config import load
from v2a_core.outputs.ledger import read_columns
from v2a_core.tables import schema
from workflows.cli.main import build_parser
from workflows.command.commands import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACES = ("*.md", "docs/*.md", "cluster/*.md", "examples/*.md")
DOCUMENTS = [page for place in PLACES for page in sorted(ROOT.glob(place))]
AWKWARD = "it's 50% <img src=x onerror=alert(1)> #1?.mp4"
# A command in a block or between backticks, with at least one argument and no ellipsis.
COMMAND = re.compile(r"(?:^ {4}|`)((?:v2a|cluster/submit\.sh) [a-z]+ [^`\n…]+?)(?:`|\s*$|\s+#)", re.MULTILINE)


def quick_start() -> list[str]:
    """The lines of the block under the README's heading, as they stand."""
    section = README.split("\n## Quick start")[1].split("\n## ")[0]
    return [line[4:] for line in section.splitlines() if line.startswith("    ")]


def in_python() -> str:
    """The README's lines of Python, as they stand."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return code


def commands() -> list[str]:
    """Every other command with its arguments, of all documents."""
    found = [match.group(1) for page in DOCUMENTS for match in COMMAND.finditer(page.read_text(encoding="utf-8"))]
    # `v2a brightness` is another package's, of which tests/workflows/cli/test_toy_command.py runs it.
    return [command for command in found if "NAME" not in command and command.split()[1] != "brightness"]


@pytest.mark.parametrize("command", sorted({*commands(), *quick_start()}))
def test_every_command_of_the_documents_is_one_of_the_program(command: str) -> None:
    words = [word.partition("|")[0] for word in shlex.split(command, comments=True)]
    arguments = build_parser().parse_args(words[1:])
    settings = COMMANDS[words[1]].settings
    if settings is not None:
        load(settings, job=words[1], source=arguments.config, overrides=arguments.overrides)


def test_the_documents_hold_many_commands() -> None:
    jobs = {command.split()[1] for command in commands()}
    assert jobs >= {"embed", "train", "generate", "evaluate", "page", "verify", "interpolate", "demo", "models"}


def spoil(world: Path) -> None:
    """What a real catalog has: a row without its file, a file that is none, a name that means something elsewhere."""
    table = world / "catalog.csv"
    header, first, *rest = table.read_text(encoding="utf-8").splitlines()
    whole = world / first.split(",")[0]
    (world / "videos" / "broken.mp4").write_bytes(whole.read_bytes()[:2000])
    (world / "videos" / AWKWARD).write_bytes(whole.read_bytes())
    odd = f'"videos/{AWKWARD}",rain,train,odd'
    spoilt = ["videos/missing.mp4,rain,train,gone", "videos/broken.mp4,rain,train,cut", odd]
    table.write_text("\n".join([header, first, *spoilt, *rest]) + "\n", encoding="utf-8")


def of_ray(text: str) -> bool:
    """Whether a process of the cluster said it: Ray passes that on to who is connected to a cluster of others."""
    return re.match(r"(\x1b\[\d+m)?\(\w.* pid=\d+", text) is not None


@pytest.fixture(scope="module")
def shell(ray_session, tmp_path_factory):
    """Runs lines in one folder, on the cluster of the tests."""
    import ray

    folder = tmp_path_factory.mktemp("quick-start")
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = job_environment(PATH=path, RAY_ADDRESS=ray.get_runtime_context().gcs_address)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
            check=False,
        )

    return folder, run


@pytest.mark.timeout(580)
def test_the_quick_start_runs_as_it_stands(shell) -> None:
    folder, run = shell
    ended: dict[str, subprocess.CompletedProcess[str]] = {}
    for line in quick_start():
        job = line.split()[1]
        ended[job] = run(line)
        assert ended[job].returncode == 0, ended[job].stdout
        assert not [text for text in ended[job].stdout.splitlines() if "Traceback" in text and not of_ray(text)]
        if job == "models":
            spoil(folder / "world")
    code = f"{in_python()}\nassert sound.sample_rate == 16_000 and abs(sound.waveform).max() > 0, sound"
    called = run(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    assert called.returncode == 0, called.stdout
    index = read_columns(str(folder / "soundtracks" / schema.INDEX_FOLDER), schema.INDEX.names).to_pylist()
    good = [row for row in index if row["status"] == schema.OK]
    assert len(good) == 11
    assert all((folder / "soundtracks" / row["audio_path"]).is_file() for row in good)
    assert any(row["source_name"].endswith(AWKWARD) for row in good)
    rows = read_columns(str(folder / "embeddings" / schema.ROWS_FOLDER), schema.EMBEDDINGS.names)
    assert pc.sum(pc.equal(rows["status"], schema.OK)).as_py() == 11
    scores = json.loads((folder / "metrics" / "metrics.json").read_text())
    assert scores["counts"]["segments"] == 11
    text = (folder / "soundtracks" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "similarity to its condition" in text
    assert "missing.mp4" in text
    assert "broken.mp4" in text
    assert "rejected: 1 x probe: InvalidDataError; missing: 1 sources" in ended["generate"].stdout
    assert "nothing wrong" in ended["verify"].stdout
    assert len(list((folder / "between").glob("step-*.wav"))) == 3
