"""What is seen of a training from outside, while it goes and after it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from helpers_monitoring import MONITORING, asked, of_training
from helpers_training import Watched

from v2a_core.outputs.status import Status
from workflows.training.board import Board
from workflows.training.progress import TrainingProgress, Watch


def test_status_tells_a_training_from_its_output_alone(watched: Watched) -> None:
    during, last = watched.seen[:-1], watched.seen[-1]
    assert {found.state for found in during} <= {"running", "stopped", "done"}
    assert any(found.state == "running" for found in during)
    assert (last.job, last.state) == ("train", "done")
    assert last.owner is not None
    told = last.owner.progress
    steps = watched.summary["steps"]
    assert (told["unit"], told["done"], told["planned"], told["checkpoint_step"]) == ("steps", steps, steps, steps)
    assert 0 < told["validation_loss"] < 10


def test_the_last_news_are_told(ray_session: None) -> None:
    progress, board = TrainingProgress(15, ("train_loss",)), Board.start()
    with Watch("train", progress, board):
        board.put({"step": 15, "train_loss": 0.5})
        board.flush()
    assert progress.lines()["done"] == 15
    assert progress.counts() == {"train_loss": 0.5}


def test_every_series_of_a_training_is_exported_and_explained(watched: Watched) -> None:
    page = (MONITORING.parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(ray_v2a_\w+)` \|", page, re.MULTILINE))
    exported = {each.name for each in watched.samples}
    assert of_training(told) == of_training(exported)
    assert of_training(asked()) <= exported
    values = {(each.name, each.labels.get("split")): each.value for each in watched.samples}
    steps = watched.summary["steps"]
    assert values["ray_v2a_training_steps_done", None] == values["ray_v2a_training_steps_planned", None] == steps
    assert values["ray_v2a_training_loss", "validation"] > 0


def test_how_far_a_training_is_in_words(tmp_path: Path) -> None:
    owner = {"unit": "steps", "done": 500, "planned": 2000, "elapsed_s": 600.0, "train_loss": 0.5, "epoch": 2}
    lines = running(str(tmp_path), owner).lines()
    assert "progress: 500 of 2000 steps, train loss 0.5, epoch 2, 30 min to go" in lines


def running(output: str, progress: dict[str, object]) -> Status:
    """A run that is at work and has said this."""
    from v2a_core.outputs.lease import Owner

    now = time.time()
    owner = Owner("train", "host", 1, now - 700, now, released=False, gone=False, progress=progress)
    return Status(output, "train", "running", owner, 0, None, None, {}, now)
