from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from workflows.cli.main import build_parser, main
from workflows.cluster_runtime import address as cluster_address


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(list(arguments))
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and subcommand, as the words that lead there."""
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from commands(below, (*path, name))


@pytest.mark.parametrize("words", list(commands(build_parser())), ids=" ".join)
def test_every_command_has_a_help(capsys, words):
    code, out, err = run(capsys, *words, "--help")
    assert code == 0
    assert out.startswith("usage: v2a")
    assert not err


@pytest.mark.parametrize("job", ["embed", "train", "generate"])
def test_help_lists_every_setting_with_default_unit_and_meaning(capsys, job):
    from v2a_core.config import options
    from workflows.command.commands import COMMANDS

    settings = COMMANDS.settings(job)
    code, out, _ = run(capsys, job, "--help")
    assert code == 0
    for option in options(settings):
        assert f"  {option.key} = " in out
        assert option.meaning, option.key
        assert option.meaning in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "frames.frames_per_secnod=2"], "did you mean 'frames.frames_per_second'"),
        (["--set", "segments.length_s=-1"], "segments.length_s = -1"),
        (["--set", "segments.length_s=long"], "valid number"),
        (["--config", "nothing"], "no configuration 'nothing'"),
        (["--max-reject-share", "2"], "limits.max_reject_share = 2"),
    ],
)
def test_bad_configuration_is_exit_code_2_before_anything_loads(capsys, tmp_path, arguments, said):
    code, _, err = run(capsys, "embed", str(tmp_path), "--output", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_wrong_usage_is_exit_code_2(capsys):
    assert run(capsys, "embed")[0] == 2
    assert run(capsys, "unknown")[0] == 2


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """Ports of this machine on which no cluster answers: one is closed, one is open and stays silent."""
    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield {"closed": closed.getsockname()[1], "silent": silent.getsockname()[1]}


@pytest.mark.parametrize("port", ["closed", "silent"])
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
@pytest.mark.parametrize("job", ["embed", "train", "generate", "evaluate"])
def test_a_cluster_that_does_not_answer_is_exit_code_2_at_once(capsys, monkeypatch, tmp_path, ports, port, form, job):
    monkeypatch.setattr(cluster_address, "ANSWER_S", 0.3)
    address, started = form.format(ports[port]), time.monotonic()
    code, out, err = run(capsys, job, str(tmp_path), "--output", str(tmp_path / "out"), "--address", address)
    assert time.monotonic() - started < 5
    assert (code, out) == (2, "")
    assert f"--address {address}: no Ray cluster answers there" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_ray_address_that_is_dead_is_named(capsys, monkeypatch, tmp_path, ports):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{ports['closed']}")
    code, _, err = run(capsys, "demo", "--output", str(tmp_path / "out"))
    assert code == 2
    assert f"RAY_ADDRESS 127.0.0.1:{ports['closed']}: no Ray cluster" in err


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:8265", "head:"])
def test_what_is_no_address_is_said(capsys, tmp_path, address):
    code, _, err = run(capsys, "embed", str(tmp_path), "--output", str(tmp_path / "out"), "--address", address)
    assert code == 2
    assert "host:port" in err


def test_configuration_errors_come_before_heavy_imports():
    code = (
        "import sys; from workflows.cli.main import main; "
        "code = main(['embed', 'x', '--output', 'y', '--set', 'nope=1']); "
        "heavy = {'ray', 'torch', 'open_clip', 'diffusers', 'transformers', 'decord', 'av'} & set(sys.modules); "
        "print(code, sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "2 []"


def test_module_and_command_are_the_same():
    commands = [["-m", "workflows.embed", "--help"], ["-m", "workflows.cli", "embed", "--help"]]
    outputs = [
        subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout
        for command in commands
    ]
    assert outputs[0] == outputs[1]
    assert "frames.frames_per_second" in outputs[0]


def test_training_that_stops_has_an_exit_code_of_its_own(capsys, monkeypatch):
    from workflows.train import job as train
    from workflows.training.config import TrainingStoppedError

    def stops(*_, **__):
        raise TrainingStoppedError("the gradient is not finite by step 7")

    monkeypatch.setattr(train, "run", stops)
    code, _, err = run(capsys, "train", "embeddings", "--output", "mapper")
    assert code == 4
    assert "training stopped: the gradient is not finite by step 7" in err


def test_a_sweep_brings_its_own_configuration(capsys):
    code, _, err = run(capsys, "train", "e", "--output", "m", "--sweep", "paper-ablations", "--config", "flow-mlp")
    assert code == 2
    assert "--sweep and --config" in err
