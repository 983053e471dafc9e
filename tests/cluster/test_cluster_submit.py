"""What `cluster/submit.sh` and the commands in `cluster/README.md` hand to `ray job submit`."""

from __future__ import annotations

import logging
import os
import re
import shlex
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package
from ray.runtime_env import RuntimeEnv

from v2a_core.config import load
from workflows.cli.main import build_parser
from workflows.embed.config import EmbedJob

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
README = (CLUSTER / "README.md").read_text()
JOBS = ("embed", "train", "generate")


@pytest.fixture
def submit(tmp_path: Path):
    """Runs the script with a `ray` that only notes its arguments."""
    note = tmp_path / "arguments"
    fake = tmp_path / "bin" / "ray"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$PWD" "$RAY_AUTH_MODE" "$@" > "{note}"\nexit "${{FAKE_EXIT:-0}}"\n')
    fake.chmod(0o755)
    checkout = tmp_path / "checkout"  # the script prefers the environment of its own checkout
    (checkout / "cluster").mkdir(parents=True)
    script = checkout / "cluster" / "submit.sh"
    script.write_bytes((CLUSTER / "submit.sh").read_bytes())

    def run(*arguments: str, **environment: str) -> tuple[int, list[str]]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        kept["PATH"] = f"{fake.parent}{os.pathsep}{kept['PATH']}"
        done = subprocess.run(
            ["bash", str(script), *arguments],
            env={**kept, **environment},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        lines = note.read_text().splitlines() if note.exists() else []
        assert not lines or lines[0] == str(checkout)
        return done.returncode, lines[1:]

    return run


def test_script_is_executable_and_parses() -> None:
    script = CLUSTER / "submit.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_script_submits_with_runtime_environment_and_token(submit) -> None:
    code, (mode, *arguments) = submit("embed", "s3://b/a video.mp4", "--output", "s3://b/out")
    assert code == 0
    assert mode == "token"
    assert arguments == [
        *("job", "submit", "--address", "http://127.0.0.1:8265", "--runtime-env", "cluster/runtime-env.yaml"),
        *("--", "v2a", "embed", "s3://b/a video.mp4", "--output", "s3://b/out"),
    ]


def test_script_passes_options_address_and_exit_code(submit) -> None:
    code, (mode, *arguments) = submit(
        "--no-wait",
        *("train", "/e", "--output", "/m"),
        RAY_API_SERVER_ADDRESS="http://head:8265",
        RAY_AUTH_MODE="disabled",
        FAKE_EXIT="1",
    )
    assert code == 1
    assert mode == "disabled"
    assert arguments[3] == "http://head:8265"
    assert arguments[arguments.index("--") - 1] == "--no-wait"


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_script_without_a_job_shows_usage(submit, arguments: tuple[str, ...]) -> None:
    assert submit(*arguments) == (2, [])


def _commands(text: str) -> list[list[str]]:
    lines = re.findall(r"^(?:#\s+)?((?:cluster/submit\.sh|ray job submit) .*[^\\])$", text, flags=re.MULTILINE)
    return [words for words in (shlex.split(line, comments=True) for line in lines) if "[OPTION" not in words]


def _job(command: list[str]) -> list[str]:
    if "--" in command:
        command = command[command.index("--") + 1 :]
        assert command[0] == "v2a"
    words = command[1:]
    return words[1:] if words[0] == "--no-wait" else words


def test_written_commands_are_commands_of_the_cli() -> None:
    commands = [_job(command) for command in _commands(README) + _commands((CLUSTER / "submit.sh").read_text())]
    assert {command[0] for command in commands} == set(JOBS)
    for command in commands:
        build_parser().parse_args(command)


def test_written_settings_exist() -> None:
    text = README + (CLUSTER / "aws.yaml").read_text()
    settings = re.findall(r"--set (\S+?=\w+)", text)
    assert settings
    for setting in settings:
        load(EmbedJob, job="embed", overrides=[setting])


def test_runtime_environment_is_valid_and_small() -> None:
    settings = yaml.safe_load((CLUSTER / "runtime-env.yaml").read_text())
    RuntimeEnv(**{**settings, "working_dir": str(ROOT)})  # raises on an unknown field or a wrong type
    assert not {"pip", "uv", "conda", "py_executable"} & set(settings)


def test_the_code_travels_and_nothing_else_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert "\nexport RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1\n" in (CLUSTER / "submit.sh").read_text()
    checkout = tmp_path / "checkout"
    wanted = {"pyproject.toml", "v2a_core/a.py", "v2a_core/deep/weights.pt", "workflows/b.py", "configs/embed/c.yaml"}
    unwanted = {
        *(".venv/x.py", "tests/t.py", "embeddings/rows/part.parquet", "demo-output/v2a_core/a.py", ".git/config"),
        *(".mypy_cache/.gitignore", ".mypy_cache/3.11/a.json", ".ruff_cache/.gitignore", ".pytest_cache/.gitignore"),
        *("v2a_core/__pycache__/a.pyc", "cluster/submit.sh"),
    }
    for name in wanted | unwanted:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(name)
    settings = yaml.safe_load((CLUSTER / "runtime-env.yaml").read_text())
    excludes = [*get_runtime_env_default_excludes(), *settings["excludes"]]
    caplog.set_level("INFO")
    package = tmp_path / "package.zip"
    create_package(str(checkout), package, include_gitignore=False, excludes=excludes, logger=logging.getLogger("here"))
    with zipfile.ZipFile(package) as file:
        assert {name for name in file.namelist() if not name.endswith("/")} == wanted
    assert "Ignoring upload" not in caplog.text
