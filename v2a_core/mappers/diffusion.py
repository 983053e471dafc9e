"""Diffusion: denoise the audio embedding, conditioned on the visual one. Schedules and solvers are diffusers'.

Shapes: B rows, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from v2a_core.mappers.base import Draws, MapperModel, normalize
from v2a_core.mappers.config import DiffusionSettings, SamplingSettings

# In a squared-cosine schedule the log signal-to-noise ratio runs to minus infinity; DPM-Solver++ needs it cut.
LAMBDA_MIN = -5.1


class DiffusionModel(MapperModel):
    """Predicts the clean embedding x0 from a noisy one (squared error), the noise level and the visual condition.

    In training a tenth of the rows see a learned null condition instead of theirs, which makes classifier-free guidance
    (arXiv:2207.12598) possible: `x0 = null + guidance_scale * (conditioned - null)`.

    Args:
        embedding_dim: E.
        network: Called with the scaled condition, the noisy embedding and the step.
        settings: Schedule, dropout, sampling.
    """

    def __init__(self, embedding_dim: int, network: nn.Module, settings: DiffusionSettings) -> None:
        super().__init__(embedding_dim, network)
        self._settings = settings
        self._schedule = noise_schedule(settings.time_steps)
        self.null_condition = nn.Parameter(torch.randn(embedding_dim))

    def draws(self, rows: int, generator: Generator) -> Draws:
        """Steps int64 (rows,), noise float32 (rows, E), who loses the condition bool (rows,)."""
        device = generator.device
        return {
            "time": torch.randint(self._settings.time_steps, (rows,), generator=generator, device=device),
            "noise": torch.randn(rows, self.embedding_dim, generator=generator, device=device),
            "drop": torch.rand(rows, generator=generator, device=device) < self._settings.condition_dropout,
        }

    def forward(self, condition_BE: Tensor, target_BE: Tensor, draws: Draws) -> Tensor:
        """Squared error of the predicted clean embedding (scaled), mean over E."""
        clean_BE = target_BE * self.scale
        noisy_BE: Tensor = self._schedule.add_noise(clean_BE, draws["noise"], draws["time"])
        condition_BE = torch.where(draws["drop"][:, None], self.null_condition, condition_BE * self.scale)
        predicted_BE: Tensor = self.network(condition_BE, noisy_BE, draws["time"])
        return (predicted_BE.float() - clean_BE).square().mean(dim=-1)

    @torch.no_grad()
    def sample(self, condition_BE: Tensor, seeds: Sequence[int], sampling: SamplingSettings | None = None) -> Tensor:
        """Denoise from noise that belongs to each row, L2-normalised float32 (B, E)."""
        sampling = sampling or self._settings.sampling
        scheduler = sampling_scheduler(sampling, self._settings.time_steps)
        condition_BE = condition_BE * self.scale
        # On the CPU whatever the device: a seed means the same noise everywhere.
        generators = [Generator().manual_seed(seed) for seed in seeds]

        x_BE = self._noise(generators)
        for time in scheduler.timesteps:
            clean_BE = self._guided(x_BE, int(time), condition_BE, sampling.guidance_scale)
            extra = {"eta": sampling.eta, "variance_noise": self._noise(generators)} if _is_stochastic(sampling) else {}
            x_BE = scheduler.step(clean_BE, time, x_BE, **extra).prev_sample
        return normalize(x_BE)

    def _noise(self, generators: Sequence[Generator]) -> Tensor:
        """The next noise of each row, float32 (B, E)."""
        rows = [torch.randn(self.embedding_dim, generator=generator) for generator in generators]
        return torch.stack(rows).to(self.null_condition.device)

    def _guided(self, x_BE: Tensor, time: int, condition_BE: Tensor, guidance_scale: float) -> Tensor:
        time_B = torch.full((len(x_BE),), time, device=x_BE.device)
        if guidance_scale == 1.0:
            output: Tensor = self.network(condition_BE, x_BE, time_B)
            return output.float()
        null_BE = self.null_condition.expand_as(condition_BE)
        both: Tensor = self.network(torch.cat([condition_BE, null_BE]), x_BE.repeat(2, 1), time_B.repeat(2))
        conditioned_BE, unconditioned_BE = both.float().chunk(2)
        return unconditioned_BE + guidance_scale * (conditioned_BE - unconditioned_BE)


def noise_schedule(time_steps: int) -> Any:
    """The training schedule: squared cosine (arXiv:2102.09672), prediction of the clean sample, nothing clipped."""
    import diffusers

    scheduler: Any = diffusers.DDPMScheduler
    return scheduler(**_schedule_config(time_steps))


def sampling_scheduler(sampling: SamplingSettings, time_steps: int) -> Any:
    """A fresh solver for one sampling run on that schedule, its steps set."""
    import diffusers

    # `trailing` starts at the noisiest step: where pure noise is what the network was trained on.
    config = {**_schedule_config(time_steps), "timestep_spacing": "trailing"}
    solver: Any = diffusers.DDIMScheduler
    if sampling.scheduler == "dpm++":
        solver = diffusers.DPMSolverMultistepScheduler
        config |= {"algorithm_type": "dpmsolver++", "lambda_min_clipped": LAMBDA_MIN, "final_sigmas_type": "zero"}
        del config["clip_sample"]  # it never clips
    scheduler = solver(**config)
    scheduler.set_timesteps(min(sampling.steps, time_steps))
    return scheduler


def _schedule_config(time_steps: int) -> dict[str, Any]:
    return {
        "num_train_timesteps": time_steps,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
        "clip_sample": False,
    }


def _is_stochastic(sampling: SamplingSettings) -> bool:
    return sampling.scheduler == "ddim" and sampling.eta > 0
