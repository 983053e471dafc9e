"""The end of a training run: its best mapper exported, its pictures, its summary."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from v2a_core import storage
from v2a_core.mappers import count_parameters
from v2a_core.mappers.config import MapperConfig
from v2a_core.outputs.manifest import Manifest
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.version import program
from workflows.train.config import TrainingStoppedError
from workflows.train.fit import Fitted
from workflows.train.summary import Counts, TrainSummary
from workflows.train.work import Ended, TrainWork


def export(fitted: Fitted, work: TrainWork, claimed: Manifest, embeddings: str, seconds: float) -> TrainSummary:
    """Write the best mapper, its card and the pictures of the run from its last checkpoint; returns the summary.

    Raises:
        TrainingStoppedError: When there is no checkpoint.
    """
    if fitted.checkpoint is None:
        raise TrainingStoppedError(f"{work.output} holds no checkpoint: the run ended before its first validation")
    with fitted.checkpoint.as_directory() as folder:
        return _export(Path(folder), fitted.ended, work, claimed, embeddings, seconds)


def _export(
    folder: Path,
    ended: Ended,
    work: TrainWork,
    claimed: Manifest,
    embeddings: str,
    seconds: float,
) -> TrainSummary:
    from v2a_core.mappers.export import fingerprint_of, save_mapper
    from v2a_core.training.checkpoint import FACTS_FILE, METRICS_FILE, best_weights, read_rows

    history = read_rows(folder / METRICS_FILE)
    facts = storage.read_json(str(folder / FACTS_FILE))
    best, last, stopped = max(history, key=lambda row: float(row["score"])), history[-1], ended.stopped
    _draw(folder, work.output)
    weights = best_weights(folder)
    summary: TrainSummary = {
        "job": "train",
        "status": "stopped" if stopped else "done",
        "stopped": stopped,
        "output": work.output,
        "counts": cast(Counts, {**facts["rows"], "left_out": facts["left_out"]}),
        "parameters": count_parameters(work.job.mapper, EMBEDDING_DIM, work.selection.vision_dim),
        "fingerprint": fingerprint_of(weights),
        "steps": last["step"],
        "epochs": last["epoch"],
        "continued_from": ended.continued_from,
        "best": best,
        "last": last,
        "seconds": {"total": round(seconds, 2), "training": last["seconds"]},
        "pairs_per_second": round(last["pairs_per_second"], 1),
    }
    save_mapper(work.output, weights, _mapper_config(work, claimed, summary, embeddings), work.job.license)
    return summary


def _draw(folder: Path, output: str) -> None:
    from v2a_core.training import plots
    from v2a_core.training.checkpoint import LOSSES_FILE, METRICS_FILE, ROWS_FILE, read_rows
    from v2a_core.training.validation import MappedRows

    rows = MappedRows.load(folder / ROWS_FILE)
    with storage.writing(storage.join(output, plots.CURVES_FILE)) as path:
        plots.draw_curves(read_rows(folder / METRICS_FILE), read_rows(folder / LOSSES_FILE), path)
    with storage.writing(storage.join(output, plots.HISTOGRAM_FILE)) as path:
        plots.draw_histogram(rows, path)
    with storage.writing(storage.join(output, plots.PROJECTION_FILE)) as path:
        plots.draw_projection(rows, path)


def _mapper_config(work: TrainWork, claimed: Manifest, summary: TrainSummary, embeddings: str) -> MapperConfig:
    told = {key: summary[key] for key in ("counts", "steps", "epochs", "best", "seconds")}
    return MapperConfig(
        program=program(),
        mapper=work.job.mapper,
        embedding_dim=EMBEDDING_DIM,
        vision_dim=work.selection.vision_dim,
        vision_space=claimed["spaces"]["vision"],
        audio_space=claimed["spaces"]["audio"],
        parameters=summary["parameters"],
        training={
            **told,
            "embeddings": embeddings,
            "cut": work.cut,
            "seed": work.job.seed,
            "settings": work.job.training.model_dump(),
            "data": work.job.data.model_dump(),
        },
    )
