"""How well a mapper does on pairs it has not seen.

Shapes: M sampled rows, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from v2a_core.compute.seeds import segment_seed
from v2a_core.mappers.base import MapperModel, take
from v2a_core.mappers.config import SamplingSettings
from v2a_core.metrics.frechet import LEAST_ROWS, frechet_distance
from v2a_core.training import distributed
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import Pairs
from v2a_core.training.history import MapperValidation
from v2a_core.training.precision import autocast, training_dtype

LOSS_STREAM = 2
NO_VARIANCE = 1e-9  # of unit vectors: rounding

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MappedRows:
    """Some validation rows, and what the mapper made of them.

    Attributes:
        condition_MV, target_ME, mapped_ME: Visual, true and mapped audio embeddings, L2-normalised float32.
        labels_M: Labels, "" without one.
    """

    condition_MV: Floats
    target_ME: Floats
    mapped_ME: Floats
    labels_M: npt.NDArray[np.str_]

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> MappedRows:
        """Out of the arrays of a checkpoint."""
        return cls(**shown)


@torch.no_grad()
def validate(
    model: MapperModel,
    pairs: Pairs,
    label_names: Sequence[str],
    settings: TrainingSettings,
    *,
    seed: int,
    device: str,
) -> tuple[MapperValidation, MappedRows]:
    """The metrics of a model (see `judge`), its `validation_loss` first, and the rows they come from.

    Noise, noise levels and dropped conditions are the same each time, so that the loss of two epochs can be compared.
    All but the loss is measured on evenly spread rows. Every worker gets the rows and the loss.
    """
    model.eval()
    dtype = training_dtype(settings.precision, device)
    loss = _loss(model, pairs, settings.global_batch, seed, device, dtype)
    rows = _map(model, pairs, label_names, settings, seed, device, dtype)
    model.train()
    return {"validation_loss": loss, **judge(rows)}, rows


def judge(rows: MappedRows) -> MapperValidation:
    """What mapped embeddings are worth: the metrics that come from rows alone."""
    similarity_MM = rows.mapped_ME.astype(np.float64) @ rows.target_ME.T
    own_M = similarity_MM.diagonal()
    # Ties count half: a mapper that says the same of everything, or a world of equal sounds, gains nothing.
    rank_M = 1 + (similarity_MM > own_M[:, None]).sum(axis=1) + ((similarity_MM == own_M[:, None]).sum(axis=1) - 1) / 2
    variance = float(rows.target_ME.var(axis=0, dtype=np.float64).sum())
    enough = len(own_M) >= LEAST_ROWS
    metrics: MapperValidation = {
        "validation_cosine": float(own_M.mean()),
        "validation_recall_at_1": float((rank_M <= 1).mean()),
        "validation_recall_at_5": float((rank_M <= 5).mean()),
        "validation_recall_at_10": float((rank_M <= 10).mean()),
        "validation_median_rank": float(np.median(rank_M)),
        "validation_frechet": frechet_distance(rows.mapped_ME, rows.target_ME) if enough else None,
        "validation_variance_ratio": float(rows.mapped_ME.var(axis=0).sum()) / variance
        if variance > NO_VARIANCE
        else None,
    }
    if (rows.labels_M != "").any():
        metrics["by_class"] = {
            str(label): {
                "rows": int((rows.labels_M == label).sum()),
                "cosine": round(float(own_M[rows.labels_M == label].mean()), 4),
                "recall_at_10": round(float((rank_M[rows.labels_M == label] <= 10).mean()), 4),
            }
            for label in np.unique(rows.labels_M[rows.labels_M != ""])
        }
    return metrics


def _loss(model: MapperModel, pairs: Pairs, batch: int, seed: int, device: str, dtype: torch.dtype) -> float:
    total = torch.zeros((), dtype=torch.float64, device=device)
    for number, start in enumerate(range(0, len(pairs), batch)):
        rows = torch.arange(start, min(start + batch, len(pairs)), device=device)
        draws = model.draws(len(rows), distributed.generator(device, seed, LOSS_STREAM, number))
        own = distributed.share(torch.arange(len(rows), device=device))
        if not len(own):
            continue
        with autocast(device, dtype):
            losses = model(pairs.condition_NV[rows[own]], pairs.target_NE[rows[own]], take(draws, own))
        total += losses.double().sum()
    return float(distributed.sum_over_workers(total)) / len(pairs)


def _map(
    model: MapperModel,
    pairs: Pairs,
    label_names: Sequence[str],
    settings: TrainingSettings,
    seed: int,
    device: str,
    dtype: torch.dtype,
) -> MappedRows:
    """Map evenly spread rows, shared among the workers."""
    count = min(settings.validation.sampled_rows, len(pairs))
    rows = torch.linspace(0, len(pairs) - 1, count).round().long()
    own = distributed.share(torch.arange(count))
    mapped_ME = torch.zeros(count, pairs.target_NE.shape[1], device=device)
    sampling = SamplingSettings(steps=settings.validation.sampling_steps)
    for part in torch.split(own, settings.global_batch):
        seeds = [segment_seed(seed, str(row), "validation") for row in rows[part].tolist()]
        with autocast(device, dtype):
            mapped_ME[part.to(device)] = model.sample(pairs.condition_NV[rows[part].to(device)], seeds, sampling)
    rows = rows.to(device)
    return MappedRows(
        condition_MV=_array(pairs.condition_NV[rows]),
        target_ME=_array(pairs.target_NE[rows]),
        mapped_ME=_array(distributed.sum_over_workers(mapped_ME)),
        labels_M=_labels(pairs, label_names, rows),
    )


def _labels(pairs: Pairs, label_names: Sequence[str], rows: Tensor) -> npt.NDArray[np.str_]:
    if pairs.label_N is None or not label_names:
        return np.full(len(rows), "", dtype=np.str_)
    # A row without a label has the number -1: the last name, which is empty.
    labels: npt.NDArray[np.str_] = np.array([*label_names, ""], dtype=np.str_)[pairs.label_N[rows].cpu().numpy()]
    return labels


def _array(rows_MD: Tensor) -> Floats:
    array: Floats = rows_MD.float().cpu().numpy()
    return array
