"""A mapper's folder: weights, configuration, summary, checkpoints."""

from __future__ import annotations

import json

import pytest
import torch
from helpers_verify import check

from v2a_core import storage
from v2a_core.mappers import build
from v2a_core.mappers.config import MapperConfig, MapperSettings
from v2a_core.mappers.export import fingerprint_of, save_mapper, save_weights
from v2a_core.mappers.mlp import MlpSettings
from v2a_core.mappers.regression import RegressionSettings
from v2a_core.outputs import manifest
from v2a_core.training import kept
from v2a_core.verification import repair

SPACES = {"vision": "clip:0123456789abcdef", "audio": "clap:fedcba9876543210"}


@pytest.fixture
def output(tmp_path):
    """A finished training as `v2a train` leaves it, with two checkpoints."""
    settings = MapperSettings(method=RegressionSettings(), network=MlpSettings(width=16, depth=1))
    torch.manual_seed(0)
    weights, output = tmp_path / "weights.safetensors", tmp_path / "mapper"
    save_weights(build(settings), weights)
    made_by = manifest.new(
        "train", identity={}, config={"mapper": settings.model_dump()}, bundle={}, spaces=SPACES
    )  # fmt: skip
    made_by = manifest.open_output(str(output), made_by)
    spaces = {f"{side}_space": name for side, name in SPACES.items()}
    save_mapper(str(output), weights, MapperConfig(mapper=settings, **spaces))
    for step in (5, 10):
        folder = output / kept.FOLDER / f"checkpoint_{step}"
        folder.mkdir(parents=True)
        (folder / "state.pt").write_bytes(bytes(range(256)))
        kept.describe(folder, step)
    summary = {"status": "done", "counts": {}, "fingerprint": fingerprint_of(weights)}
    storage.write_json(f"{output}/summary.json", summary)
    manifest.close_output(str(output), made_by, summary)
    return output


def test_a_whole_mapper_has_no_problems(output):
    report = check(output)
    assert (report.problems, report.summary) == ([], "a mapper and 2 checkpoints")


def put(output, **values):
    told = json.loads((output / "config.json").read_text())
    (output / "config.json").write_text(json.dumps({**told, **values}))


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda output: flip(output / "mapper.safetensors"), "mapper.safetensors is not what the training exported"),
        (lambda output: (output / "mapper.safetensors").unlink(), "mapper.safetensors is missing"),
        (lambda output: (output / "config.json").write_text("{"), "not valid JSON"),
        (lambda output: put(output, vision_space="clip:other"), "names the spaces"),
        (lambda output: put(output, mapper=MapperSettings().model_dump()), "another mapper than the manifest"),
        (lambda output: (output / "summary.json").unlink(), "summary.json is missing"),
    ],
)
def test_what_is_wrong_with_a_mapper_is_told_and_exported_again(output, plant, said):
    plant(output)
    (problem,) = check(output).problems
    assert said in problem
    repair(check(output))
    # Its training is not done: the same command exports the mapper again from the last checkpoint.
    assert json.loads((output / "manifest.json").read_text())["status"] == "repaired"
    assert any("run the same `v2a train` again" in problem for problem in check(output).problems)


def test_a_damaged_checkpoint_is_set_aside_and_the_mapper_stays(output):
    flip(output / kept.FOLDER / "checkpoint_5" / "state.pt")  # not the newest
    (problem,) = check(output).problems
    assert problem == "checkpoints/checkpoint_5: the content of state.pt is not what was written"
    repair(check(output))
    assert check(output).problems == []
    assert (output / "damaged" / "checkpoint_5" / "state.pt").is_file()
    (output / kept.FOLDER / "checkpoint_11").mkdir()
    (output / kept.FOLDER / "checkpoint_11" / "state.pt").write_bytes(b"half an upload")
    assert check(output).notes == ["checkpoints/checkpoint_11: its upload was cut short"]
