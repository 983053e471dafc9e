"""The end of the training of a mapper: the best one exported, with the pictures of its run."""

from __future__ import annotations

from pathlib import Path

from v2a_core import storage
from v2a_core.mappers.config import MapperConfig
from v2a_core.outputs.manifest import Manifest
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.version import program
from workflows.train.work import TrainWork
from workflows.training.summary import Checkpointed, TrainSummary, told_of


def export(
    last: Checkpointed, work: TrainWork, claimed: Manifest, summary: TrainSummary, embeddings: str, beside: str | None
) -> None:
    """Write the best mapper, its card and the pictures of the run from its last checkpoint."""
    from v2a_core.mappers.export import save_mapper

    _draw(last.folder, work.output)
    save_mapper(work.output, last.weights, _mapper_config(work, claimed, summary, embeddings, beside), work.job.license)


def _draw(folder: Path, output: str) -> None:
    from v2a_core.training import plots
    from v2a_core.training.checkpoint import LOSSES_FILE, METRICS_FILE, load_shown, read_rows
    from v2a_core.training.validation import MappedRows

    rows = MappedRows.of(load_shown(folder))
    with storage.writing(storage.join(output, plots.CURVES_FILE)) as path:
        plots.draw_curves(read_rows(folder / METRICS_FILE), read_rows(folder / LOSSES_FILE), path)
    with storage.writing(storage.join(output, plots.HISTOGRAM_FILE)) as path:
        plots.draw_histogram(rows, path)
    with storage.writing(storage.join(output, plots.PROJECTION_FILE)) as path:
        plots.draw_projection(rows, path)


def _mapper_config(
    work: TrainWork, claimed: Manifest, summary: TrainSummary, embeddings: str, beside: str | None
) -> MapperConfig:
    return MapperConfig(
        program=program(),
        mapper=work.job.mapper,
        embedding_dim=EMBEDDING_DIM,
        vision_dim=work.selection.vision_dim,
        vision_space=claimed["spaces"]["vision"],
        audio_space=claimed["spaces"]["audio"],
        parameters=summary["parameters"],
        training={
            **told_of(summary),
            "embeddings": embeddings,
            **({"beside": beside} if beside else {}),
            "cut": work.cut,
            "seed": work.job.seed,
            "settings": work.job.training.model_dump(),
            "data": work.job.data.model_dump(),
        },
    )
