"""Optimiser, learning-rate schedule, moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from v2a_core.training.config import OptimizerSettings


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only: norms, biases and single learned vectors have none."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), weight_decay=0.0, fused=True
    )


def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scale the gradients down to a norm of `limit` where theirs is larger.

    Returns:
        Their norm before, a float32 scalar () on their device.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    # On a CPU it costs nothing to look: mostly there is nothing to scale. A GPU would have to be waited for.
    if norm.device.type != "cpu" or not norm + 1e-6 <= limit:
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return norm


def learning_rate(step: int, total_steps: int, settings: OptimizerSettings) -> float:
    """The learning rate of a step (from 0): linear warm-up, then constant or half a cosine to zero."""
    warmup_steps = min(settings.warmup_steps, total_steps // 10)
    if settings.decay == "none" or step < warmup_steps:
        return settings.learning_rate * min(1.0, (step + 1) / (warmup_steps + 1))
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class MovingAverage(AveragedModel):
    """A second model, whose parameters are the exponential moving average of a model's.

    The decay warms up as (1 + step) / (10 + step): a short run's average forgets the random start, a long run's
    reaches the full decay.

    Args:
        model: Whose average; as it is now, the average begins.
        decay: Of a long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=self._blend)
        self.n_averaged += 1  # torch's own first update would replace the start, ours weighs it
        self._decay = self._now = decay

    @property
    def model(self) -> nn.Module:
        """The averaged model."""
        return self.module

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 0)."""
        self._now = min(self._decay, (1 + step) / (10 + step))
        self.update_parameters(model)

    def _blend(self, averages: Sequence[Tensor], current: Sequence[Tensor], averaged: Tensor | int) -> None:
        torch._foreach_lerp_(list(averages), list(current), 1 - self._now)
