"""What `cluster/submit.sh` and the commands in `cluster/README.md` hand to `ray job submit`."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
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
JOBS = ("embed", "train", "generate", "evaluate")


RAY = r"""#!/bin/sh
printf "%s\n" "$PWD" "$RAY_AUTH_MODE" "$@" > "{note}"
printf "%s\n" "${{RAY_AUTH_TOKEN:-}}" > "{token}"
exit "${{FAKE_EXIT:-0}}"
"""
KUBECTL = """#!{python}
import pathlib, socket, sys, time
with pathlib.Path("{note}").open("a") as file:
    print(*sys.argv[1:], file=file)
if sys.argv[1] == "get":
    print("dG9rZW4tb2YtdGhlLWNsdXN0ZXI=", end="")
else:
    server = socket.create_server(("127.0.0.1", int(sys.argv[3].partition(":")[0])))
    time.sleep(60)
"""


@pytest.fixture
def submit(tmp_path: Path):
    """Runs the script with a `ray` that only notes its arguments."""
    note = tmp_path / "arguments"
    fake = tmp_path / "bin" / "ray"
    fake.parent.mkdir()
    fake.write_text(RAY.format(note=note, token=tmp_path / "token"))
    fake.chmod(0o755)
    kubectl = fake.with_name("kubectl")  # there is no Kubernetes here: it notes what it is asked, and listens
    kubectl.write_text(KUBECTL.format(python=sys.executable, note=tmp_path / "kubectl"))
    kubectl.chmod(0o755)
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


@pytest.mark.parametrize(
    "options",
    [
        ("--submission-id", "first"),
        ("--submission-id=first", "--no-wait"),
        ("--entrypoint-num-cpus", "1", "--verbose", "--metadata-json", '{"a": "b"}'),
    ],
)
def test_values_of_options_are_no_jobs(submit, options: tuple[str, ...]) -> None:
    code, (_, *arguments) = submit(*options, "embed", "/v", "--output", "/e")
    assert code == 0
    end = arguments.index("--")
    assert arguments[end - len(options) : end] == list(options)
    assert arguments[end + 1 :] == ["v2a", "embed", "/v", "--output", "/e"]


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("--submission-id",), ("--submission-id", "embed"), ("x", "embed"), ("--", "embed")]
)
def test_script_without_a_job_shows_usage(submit, arguments: tuple[str, ...]) -> None:
    assert submit(*arguments) == (2, [])


@pytest.mark.parametrize("job", JOBS)
def test_every_job_can_be_submitted(submit, job: str) -> None:
    code, arguments = submit(job, "/in", "--output", "/out")
    assert code == 0
    assert arguments[-5:] == ["v2a", job, "/in", "--output", "/out"]


ODD = (
    "https://host/a.mp4?X-Signature=1&expires=2;3#4",
    "$HOME/a video.mp4",
    "shard-{000..009}.tar",
    "it's `late`",
    "s3://b/ü*[1]?.mp4",
    'two words "quoted"',
    "(a)",
    "~",
)


def test_words_reach_the_job_as_they_were_given(submit, tmp_path: Path) -> None:
    """Ray joins the words by `list2cmdline`, and a shell of the head takes them apart."""
    _, arguments = submit("embed", *ODD, "--output", "/e")
    program, *words = arguments[arguments.index("--") + 1 :]
    assert program == "v2a"
    command = f"printf '%s\\n' {subprocess.list2cmdline(words)}"
    told = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["embed", *ODD, "--output", "/e"]


def test_a_cluster_of_kubernetes_is_reached_through_its_port_and_token(submit, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, (mode, *arguments) = submit(
        *("train", "/e", "--output", "/m"), V2A_RAYCLUSTER="mine", V2A_NAMESPACE="lab", V2A_PORT=str(port)
    )
    assert (code, mode) == (0, "token")
    assert arguments[3] == f"http://127.0.0.1:{port}"
    assert (tmp_path / "kubectl").read_text().splitlines() == [
        "get secret mine --namespace lab --output jsonpath={.data.auth_token}",
        f"port-forward service/mine-head-svc {port}:8265 --address 127.0.0.1 --namespace lab",
    ]
    assert (tmp_path / "token").read_text() == "token-of-the-cluster\n"
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port)):
        pass  # the forwarded port is closed with the job


def _commands(text: str) -> list[list[str]]:
    lines = re.findall(r"^(?:#\s+)?((?:cluster/submit\.sh|ray job submit) .*[^\\])$", text, flags=re.MULTILINE)
    return [words for words in (shlex.split(line, comments=True) for line in lines) if "[OPTION" not in words]


def _job(command: list[str]) -> list[str]:
    if "--" in command:
        command = command[command.index("--") + 1 :]
        assert command[0] == "v2a"
    words = command[1:]
    while words[0] not in JOBS:
        words = words[1:]
    return words


def test_written_commands_are_commands_of_the_cli() -> None:
    commands = [_job(command) for command in _commands(README) + _commands((CLUSTER / "submit.sh").read_text())]
    assert {command[0] for command in commands} == set(JOBS)
    for command in commands:
        build_parser().parse_args(command)


def test_written_settings_exist() -> None:
    text = README + (CLUSTER / "aws" / "cluster.yaml").read_text()
    text += (CLUSTER / "kubernetes" / "base" / "cluster.yaml").read_text()
    settings = re.findall(r"--set (\S+?=[\w.]*\w)", text)
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
