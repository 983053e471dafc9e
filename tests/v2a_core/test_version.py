"""One version, and the commit that the code is from, wherever it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from v2a_core.version import __version__, commit, program

ROOT = Path(__file__).parents[2]


def told(folder: Path) -> str:
    """What the version file of another folder says of itself."""
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['commit']())"
    command = [sys.executable, "-c", code, str(folder / "v2a_core" / "version.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def copied(tmp_path):
    (tmp_path / "v2a_core").mkdir()
    shutil.copy(ROOT / "v2a_core" / "version.py", tmp_path / "v2a_core")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *author, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_packaging_reads_the_version_from_the_one_file():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "v2a_core.version.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_a_program_is_named_with_its_commit():
    assert program() == {"name": "v2a", "version": __version__, "commit": commit()}


def test_a_checkout_knows_its_commit_and_whether_files_differ(copied):
    git(copied, "init", "--quiet")
    git(copied, "add", ".")
    git(copied, "commit", "--quiet", "--message=first")
    git(copied, "tag", "v9.9.9")
    assert told(copied) == git(copied, "rev-parse", "--short=12", "HEAD")
    with (copied / "v2a_core" / "version.py").open("a") as file:
        file.write("# changed\n")
    assert told(copied).endswith("-dirty")


def test_without_history_a_file_tells_the_commit_else_it_is_unknown(copied):
    assert told(copied) == "unknown"
    (copied / "v2a_core" / "commit.txt").write_text("0123456789ab\n")
    assert told(copied) == "0123456789ab"


def test_the_command_line_prints_both():
    done = subprocess.run(
        [sys.executable, "-m", "workflows.cli", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == f"v2a {__version__} ({commit()})\n"
