"""How well a mapper does on pairs it has not seen."""

from __future__ import annotations

import torch

from v2a_core.mappers.base import MapperModel, take
from v2a_core.mappers.config import SamplingSettings
from v2a_core.seeds import segment_seed
from v2a_core.training import distributed
from v2a_core.training.config import TrainingSettings
from v2a_core.training.data import Pairs
from v2a_core.training.precision import autocast

LOSS_STREAM = 2


@torch.no_grad()
def validate(
    model: MapperModel, pairs: Pairs, settings: TrainingSettings, *, seed: int, device: str, dtype: torch.dtype
) -> dict[str, float]:
    """`validation_loss` and `validation_cosine` of a model, the same numbers on every worker.

    Noise, noise levels and dropped conditions are the same each time, so that the loss of two epochs can be compared.
    The cosine similarity is between true and sampled embeddings, on evenly spread rows.
    """
    model.eval()
    loss = _loss(model, pairs, settings.global_batch, seed, device, dtype)
    cosine = _cosine(model, pairs, settings, seed, device, dtype)
    model.train()
    return {"validation_loss": loss, "validation_cosine": cosine}


def _loss(model: MapperModel, pairs: Pairs, batch: int, seed: int, device: str, dtype: torch.dtype) -> float:
    total = torch.zeros((), dtype=torch.float64, device=device)
    for number, start in enumerate(range(0, len(pairs), batch)):
        rows = torch.arange(start, min(start + batch, len(pairs)), device=device)
        draws = model.draws(len(rows), distributed.generator(device, seed, LOSS_STREAM, number))
        own = distributed.share(torch.arange(len(rows), device=device))
        if not len(own):
            continue
        with autocast(device, dtype):
            losses = model(pairs.condition_NE[rows[own]], pairs.target_NE[rows[own]], take(draws, own))
        total += losses.double().sum()
    return float(distributed.sum_over_workers(total)) / len(pairs)


def _cosine(
    model: MapperModel, pairs: Pairs, settings: TrainingSettings, seed: int, device: str, dtype: torch.dtype
) -> float:
    count = min(settings.validation.sampled_rows, len(pairs))
    rows = torch.linspace(0, len(pairs) - 1, count).round().long()
    own = distributed.share(rows)
    total = torch.zeros((), dtype=torch.float64, device=device)
    sampling = SamplingSettings(steps=settings.validation.sampling_steps)
    for start in range(0, len(own), settings.global_batch):
        part = own[start : start + settings.global_batch]
        seeds = [segment_seed(seed, str(row), "validation") for row in part.tolist()]
        part = part.to(device)
        with autocast(device, dtype):
            sampled = model.sample(pairs.condition_NE[part], seeds, sampling)
        total += (sampled * pairs.target_NE[part]).sum(dim=-1).double().sum()
    return float(distributed.sum_over_workers(total)) / count
