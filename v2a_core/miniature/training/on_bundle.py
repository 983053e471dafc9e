"""What is trained on a finished bundle: by the loop with which `v2a train-adapter` and `v2a train-timing` train.

A folder keeps the newest checkpoint of a run; the best state of one that has finished is in the subject's own file,
float32, and what is known of it in `done.json`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from v2a_core import storage
from v2a_core.miniature.training.loop import DONE
from v2a_core.training import checkpoint
from v2a_core.training.columns import Columns, Splits
from v2a_core.training.config import LoopSettings
from v2a_core.training.feed import MemoryFeed
from v2a_core.training.history import News, ValidationRow
from v2a_core.training.loop import Trainer
from v2a_core.training.subject import Subject

EPOCHS = 1_000_000  # more than any run has: it ends after its steps


def splits_of(train: Columns, held_out: Columns) -> Splits:
    """What is learned from and what judges; none of the scenes is left out."""
    return Splits(train, held_out, {"train": len(train), "validation": len(held_out), "test": 0}, {})


def train_subject(name: str, subject: Subject, train: Columns, settings: LoopSettings, folder: Path, seed: int) -> None:
    """Train, or go on from the checkpoint in the folder.

    Args:
        name: Of the stage.
        subject: What is trained, fresh.
        train: What it learns from.
        settings: How.
        folder: Of the stage.
        seed: Of batches and noise.
    """
    for cut_short in folder.glob("v2a-checkpoint-*"):
        shutil.rmtree(cut_short)
    trainer = Trainer(
        subject,
        MemoryFeed(train, settings.global_batch, seed=seed, device="cpu"),
        settings,
        rows=len(train),
        seed=seed,
        device="cpu",
        report=lambda metrics, made: _keep(name, metrics, made, folder),
        on_progress=lambda news: _tell(name, news),
        scratch=folder,
    )
    trainer.run(_newest(folder))
    _finish(_newest(folder), subject.file, folder)


def _keep(name: str, metrics: ValidationRow, made: Path | None, folder: Path) -> None:
    """Put a checkpoint in the place of the one before."""
    assert made is not None  # one worker: it has the checkpoint
    # Behind the one between validations of the same step, by its name.
    kind = "judged" if "score" in metrics else "between"
    kept = made.rename(folder / f"step-{metrics['step']:06d}-{kind}")
    for older in folder.glob("step-*"):
        if older != kept:
            shutil.rmtree(older)
    numbers = [f"{key.removeprefix('validation_')} {value:.4g}" for key, value in _judged(metrics).items()]
    if numbers:
        print(f"{name} {metrics['step']}: {' '.join(numbers)}", flush=True)


def _newest(folder: Path) -> Path | None:
    return max(folder.glob("step-*"), default=None)


def _judged(metrics: ValidationRow) -> dict[str, float]:
    return {name: float(str(value)) for name, value in metrics.items() if name.startswith("validation_")}


def _tell(name: str, news: News) -> None:
    print(
        f"{name} {news['step']}/{news['total_steps']}: loss {news['train_loss']:.4f}, {news['seconds']:.0f} s",
        flush=True,
    )


def _finish(last: Path | None, file: str, folder: Path) -> None:
    assert last is not None  # a run ends with a validation, and that with a checkpoint
    rows: list[ValidationRow] = checkpoint.read_rows(last / checkpoint.METRICS_FILE)
    best = max(rows, key=lambda row: row["score"])
    with storage.writing(str(folder / file)) as path:
        shutil.copyfile(checkpoint.best_weights(last, file), path)
    summary = {"steps": best["step"], "minutes": round(rows[-1]["seconds"] / 60, 1), **_judged(best)}
    storage.write_json(str(folder / DONE), summary)
    shutil.rmtree(last)
