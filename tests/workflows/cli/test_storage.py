"""Commands that cannot reach what they were given: exit code 2, a sentence, nothing left behind. Without Ray."""

from __future__ import annotations

import helpers_embeddings
import pytest

from v2a_core.config import ConfigError
from workflows.cli.main import main
from workflows.command.exit_codes import BAD_CONFIGURATION
from workflows.streaming import run


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == BAD_CONFIGURATION
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


@pytest.mark.parametrize("job", ["embed", "generate", "evaluate", "train"])
@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("foo://bucket/x", "Protocol not known: foo"),
        ("gs://bucket/x", "Please install gcsfs"),
        ("abfs://container@account/x", "Install adlfs"),
        ("ftp://me:hunter2@host/x", "holds a password"),
    ],
)
def test_inputs_that_nothing_here_can_open(capsys, tmp_path, job, uri, why):
    more = ["--mapper", "none"] if job == "generate" else []
    told = refused(capsys, job, uri, "--output", tmp_path / "a" / "out", *more)
    assert why in told
    assert "hunter2" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["foo://bucket/out", "/proc/out", "ftp://me:hunter2@host/x"])
def test_outputs_that_cannot_be_written(capsys, tmp_path, output):
    (tmp_path / "v.mp4").write_bytes(b"video")
    for command in (["embed", tmp_path], ["interpolate", "rain", "wind"], ["demo"]):
        assert "hunter2" not in refused(capsys, *command, "--output", output)


def test_a_preflight_leaves_what_was_there(capsys, tmp_path):
    (tmp_path / "out").mkdir()
    refused(capsys, "embed", tmp_path / "none", "--output", tmp_path / "out" / "deeper")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list((tmp_path / "out").iterdir()) == []


def test_commands_without_a_job_take_the_settings_of_storage(capsys, s3_server):
    reached = ["--set", f"storage.endpoint={s3_server}", "--set", "storage.region=us-east-1"]
    for command in (["verify"], ["models", "show"], ["models", "score"], ["interpolate", "rain", "wind", "--output"]):
        told = refused(capsys, *command, "s3://no-such-bucket-here/x", "--set", "storage.endpoints=x")
        assert "did you mean 'storage.endpoint'?" in told
        assert "no-such-bucket-here" in refused(capsys, *command, "s3://no-such-bucket-here/x", *reached)


def test_what_a_cluster_refuses_leaves_no_manifest(capsys, tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"video")

    def refuse(address, settings, model_stages):
        raise ConfigError("pools.decode_tasks = 99: this cluster has 2 CPUs")

    monkeypatch.setattr(run, "start_pools", refuse)
    for command in (["embed"], ["generate", "--mapper", "none"]):
        more = ["--models", "miniature", "--output", tmp_path / "out"]
        assert "decode_tasks" in refused(capsys, *command, tmp_path / "v.mp4", *more)
        assert not (tmp_path / "out").exists()


def test_a_training_is_told_that_its_output_cannot_be_written_before_ray_starts(capsys, tmp_path):
    helpers_embeddings.write(tmp_path, helpers_embeddings.table(20))
    assert "storage: write is not possible" in refused(capsys, "train", tmp_path, "--output", "/proc/out")
