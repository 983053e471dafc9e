"""What the wheel installs, and that it works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from v2a_core.version import __version__

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the archive of sources as `python -m build` does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python with the wheel's packages, in an empty folder."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)

    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import v2a_core; print(v2a_core.__file__)").startswith(str(site))
    return run


def test_it_takes_no_top_level_name_but_its_own(wheel) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name.split("/")[0] for name in file.namelist()}
    assert names == {"v2a_core", "workflows", f"v2a-{__version__}.dist-info"}


def test_it_holds_everything_that_the_checkout_has(wheel) -> None:
    listed = subprocess.run(
        [
            "git",
            "-C",
            str(ROOT),
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "v2a_core",
            "workflows",
            "configs",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    wanted = {
        name if not name.startswith("configs/") else f"v2a_core/{name}" for name in listed if (ROOT / name).exists()
    }
    with zipfile.ZipFile(wheel) as file:
        assert wanted - set(file.namelist()) == set()
        assert file.read("v2a_core/commit.txt").decode().strip() not in ("", "unknown")


def test_it_finds_its_configurations_and_weights(installed) -> None:
    assert "ViT-miniature" in installed("-m", "workflows.cli", "models", "show", "miniature", "--resolve")
    code = "from v2a_core.config import find; print(find('fast', 'generate'), find('gpu-cluster', 'embed'))"
    assert installed("-c", code).count("v2a_core/configs/") == 2


def test_it_says_its_version_and_commit(installed) -> None:
    told = installed("-m", "workflows.cli", "--version")
    assert told.startswith(f"v2a {__version__} (")
    assert "unknown" not in told
