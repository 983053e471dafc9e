"""What diffusion and flow matching share: a network that turns noise into an embedding step by step, with guidance.

Shapes: B rows, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from v2a_core.config import setting
from v2a_core.mappers.base import Draws, MapperModel, normalize
from v2a_core.mappers.config import MethodSettings, SamplingSettings


class DenoisingSettings(MethodSettings):
    """What methods that denoise have in common."""

    time_steps: int = setting(1000, "levels of noise in training", ge=10, le=10_000)
    condition_dropout: float = setting(0.1, "share of training rows that see the null condition", ge=0, lt=1)
    sampling: SamplingSettings = setting(SamplingSettings, "how embeddings are sampled, unless told otherwise")

    @property
    def noise_levels(self) -> int:
        """How many levels of noise the network is told apart."""
        return self.time_steps

    @property
    def own_sampling(self) -> SamplingSettings:
        """How it samples unless told otherwise."""
        return self.sampling


class DenoisingModel(MapperModel):
    """A network of (condition, noisy embedding, step), trained on random steps and sampled with a diffusers solver.

    In training a tenth of the rows see a learned null condition instead of theirs, which makes classifier-free guidance
    (arXiv:2207.12598) possible: `output = null + mapper_guidance_scale * (conditioned - null)`; a scale of 1 is off.

    Args:
        embedding_dim: E.
        vision_dim: V.
        network: Called with the scaled condition, the noisy embedding and the step (int64, 0 is the cleanest).
        settings: Steps, dropout, sampling.
    """

    def __init__(
        self,
        embedding_dim: int,
        vision_dim: int,
        network: nn.Module,
        settings: DenoisingSettings,
    ) -> None:
        super().__init__(embedding_dim, vision_dim, network, settings)
        self._settings = settings
        self.null_condition = nn.Parameter(torch.randn(vision_dim))

    @abc.abstractmethod
    def _noisy(self, clean_BE: Tensor, noise_BE: Tensor, time_B: Tensor) -> Tensor:
        """The scaled embeddings with noise of the steps' levels, (B, E)."""

    @abc.abstractmethod
    def _target(self, clean_BE: Tensor, noise_BE: Tensor) -> Tensor:
        """What the network predicts, (B, E)."""

    @abc.abstractmethod
    def _solver(self, sampling: SamplingSettings) -> Any:
        """A fresh diffusers scheduler, its steps set."""

    @abc.abstractmethod
    def _step_of(self, timestep: Tensor) -> int:
        """The network's step for a solver's timestep."""

    def check_sampling(self, sampling: SamplingSettings) -> None:
        """Refuse a solver of another method."""
        self._solver(sampling)

    def draws(self, rows: int, generator: Generator) -> Draws:
        """Steps int64 (rows,), noise float32 (rows, E), who loses the condition bool (rows,)."""
        device = generator.device
        return {
            "time": torch.randint(self._settings.time_steps, (rows,), generator=generator, device=device),
            "noise": torch.randn(rows, self.embedding_dim, generator=generator, device=device),
            "drop": torch.rand(rows, generator=generator, device=device) < self._settings.condition_dropout,
        }

    def forward(self, condition_BV: Tensor, target_BE: Tensor, draws: Draws) -> Tensor:
        """Squared error of the prediction (scaled), mean over E."""
        clean_BE = target_BE * self.scale
        noisy_BE = self._noisy(clean_BE, draws["noise"], draws["time"])
        condition_BV = torch.where(draws["drop"][:, None], self.null_condition, condition_BV * self.vision_scale)
        predicted_BE: Tensor = self.network(condition_BV, noisy_BE, draws["time"])
        return (predicted_BE.float() - self._target(clean_BE, draws["noise"])).square().mean(dim=-1)

    @torch.no_grad()
    def sample(self, condition_BV: Tensor, seeds: Sequence[int], sampling: SamplingSettings | None = None) -> Tensor:
        """Denoise from noise that belongs to each row, L2-normalised float32 (B, E).

        Raises:
            ValueError: On a solver of another method.
        """
        sampling = sampling or self._settings.sampling
        solver = self._solver(sampling)
        condition_BV = condition_BV * self.vision_scale
        # On the CPU whatever the device: a seed means the same noise everywhere.
        generators = [Generator().manual_seed(seed) for seed in seeds]

        x_BE = self._noise(generators)
        for timestep in solver.timesteps:
            predicted_BE = self._guided(x_BE, self._step_of(timestep), condition_BV, sampling.mapper_guidance_scale)
            extra = {"eta": sampling.eta, "variance_noise": self._noise(generators)} if sampling.is_stochastic else {}
            x_BE = solver.step(predicted_BE, timestep, x_BE, **extra).prev_sample
        return normalize(x_BE)

    def _noise(self, generators: Sequence[Generator]) -> Tensor:
        """The next noise of each row, float32 (B, E)."""
        rows = [torch.randn(self.embedding_dim, generator=generator) for generator in generators]
        return torch.stack(rows).to(self.null_condition.device)

    def _guided(self, x_BE: Tensor, step: int, condition_BV: Tensor, scale: float) -> Tensor:
        time_B = torch.full((len(x_BE),), step, device=x_BE.device)
        if scale == 1.0:
            output: Tensor = self.network(condition_BV, x_BE, time_B)
            return output.float()
        null_BV = self.null_condition.expand_as(condition_BV)
        both: Tensor = self.network(torch.cat([condition_BV, null_BV]), x_BE.repeat(2, 1), time_B.repeat(2))
        conditioned_BE, unconditioned_BE = both.float().chunk(2)
        return unconditioned_BE + scale * (conditioned_BE - unconditioned_BE)
