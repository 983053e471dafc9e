from __future__ import annotations

import json

import pytest

from v2a_core.storage.trouble import StorageStopError
from v2a_core.training.config import RecordSettings
from v2a_core.training.records import Records

HISTORY = [{"step": 2, "epoch": 1, "validation_loss": 1.5, "score": -1.5, "by_class": {"dog": {"rows": 1}}}]
LOSSES = [{"step": 1, "train_loss": 3.0}, {"step": 2, "train_loss": 2.0}]


def events(folder) -> list[tuple[int, str, float]]:
    """Scalars of every event file, in the order of the files."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("*tfevents*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            size = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + size])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            place += 12 + size + 4
    return found


def test_numbers_are_written_once(tmp_path):
    with Records(str(tmp_path), RecordSettings(), {}) as records:
        records.begin(0)
        records.write([], LOSSES[:1])
        records.write(HISTORY, LOSSES)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == HISTORY
    assert [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()] == LOSSES
    assert sorted(events(tmp_path / "tensorboard")) == [
        (1, "train/loss", 3.0), (2, "train/loss", 2.0), (2, "validation/epoch", 1.0), (2, "validation/loss", 1.5),
    ]  # fmt: skip


def test_a_continued_run_adds_what_is_new(tmp_path):
    for begin, losses in ((0, LOSSES[:1]), (1, LOSSES)):
        with Records(str(tmp_path), RecordSettings(), {}) as records:
            records.begin(begin)
            records.write([], losses)
    assert sorted(events(tmp_path / "tensorboard")) == [(1, "train/loss", 3.0), (2, "train/loss", 2.0)]


def test_a_remote_output_gets_the_same_files(tmp_path):
    import fsspec

    with Records("memory://runs/one", RecordSettings(), {}) as records:
        records.begin(0)
        records.write(HISTORY, LOSSES)
    memory = fsspec.filesystem("memory")
    memory.get("/runs/one/", str(tmp_path) + "/", recursive=True)
    assert len(events(tmp_path / "tensorboard")) == 4
    assert (tmp_path / "metrics.jsonl").exists()


def test_no_events_unless_wanted(tmp_path):
    with Records(str(tmp_path), RecordSettings(tensorboard=False), {}) as records:
        records.begin(0)
        records.write(HISTORY, LOSSES)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "losses.jsonl"}


@pytest.mark.slow
def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    settings = RecordSettings(tensorboard=False, wandb_project="mappers")
    with Records(str(tmp_path / "run"), settings, {"seed": 1}) as records:
        records.begin(0)
        records.write(HISTORY, LOSSES)
    assert list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))


def test_a_run_whose_output_was_renamed_stops(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    with Records(str(tmp_path / "run"), RecordSettings(tensorboard=False), {}) as records:
        records.write([], LOSSES[:1])
        (tmp_path / "run").rename(tmp_path / "renamed")
        with pytest.raises(StorageStopError, match="was renamed or removed"):
            records.write(HISTORY, LOSSES)
    assert not (tmp_path / "run").exists()
