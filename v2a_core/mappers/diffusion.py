"""Diffusion: denoise the audio embedding, conditioned on the visual one. Schedules and solvers are diffusers'.

Shapes: B rows, E width of an embedding.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

from torch import Tensor

from v2a_core.compute.diffusers_import import scheduler_class
from v2a_core.config import setting
from v2a_core.mappers.config import SamplingSettings
from v2a_core.mappers.denoising import DenoisingModel, DenoisingSettings
from v2a_core.mappers.registries import METHODS

# In a squared-cosine schedule the log signal-to-noise ratio runs to minus infinity; DPM-Solver++ needs it cut.
LAMBDA_MIN = -5.1


class DiffusionSettings(DenoisingSettings):
    """Denoises the audio embedding, conditioned on the visual one; predicts the clean embedding."""

    kind: Literal["diffusion"] = setting("diffusion", "the method")
    time_steps: int = setting(1000, "steps of the noise schedule (squared cosine)", ge=10, le=10_000)


class DiffusionModel(DenoisingModel):
    """Predicts the clean embedding x0 from a noisy one, the noise level and the visual condition, as the paper does.

    Args:
        embedding_dim, vision_dim, network: See `DenoisingModel`.
        settings: Schedule, dropout, sampling.
    """

    @functools.cached_property
    def _schedule(self) -> Any:
        # Made when it is needed: importing diffusers takes seconds, and a job that only checks a mapper needs none.
        return noise_schedule(self._settings.time_steps)

    def _noisy(self, clean_BE: Tensor, noise_BE: Tensor, time_B: Tensor) -> Tensor:
        noisy_BE: Tensor = self._schedule.add_noise(clean_BE, noise_BE, time_B)
        return noisy_BE

    def _target(self, clean_BE: Tensor, noise_BE: Tensor) -> Tensor:
        return clean_BE

    def _solver(self, sampling: SamplingSettings) -> Any:
        return sampling_scheduler(sampling, self._settings.time_steps)

    def _step_of(self, timestep: Tensor) -> int:
        return int(timestep)


def noise_schedule(time_steps: int) -> Any:
    """The training schedule: squared cosine (arXiv:2102.09672), prediction of the clean sample, nothing clipped."""
    return scheduler_class("DDPMScheduler")(**_schedule_config(time_steps))


def sampling_scheduler(sampling: SamplingSettings, time_steps: int) -> Any:
    """A fresh solver for one sampling run on that schedule, its steps set.

    Raises:
        ValueError: On a solver of flow matching.
    """
    # `trailing` starts at the noisiest step: where pure noise is what the network was trained on.
    config = {**_schedule_config(time_steps), "timestep_spacing": "trailing"}
    solver = "DDIMScheduler"
    if sampling.scheduler in ("auto", "dpm++"):
        solver = "DPMSolverMultistepScheduler"
        config |= {"algorithm_type": "dpmsolver++", "lambda_min_clipped": LAMBDA_MIN, "final_sigmas_type": "zero"}
        del config["clip_sample"]  # it never clips
    elif sampling.scheduler != "ddim":
        raise ValueError(f"sampling.scheduler = {sampling.scheduler!r}: a diffusion mapper samples by ddim | dpm++")
    scheduler = scheduler_class(solver)(**config)
    scheduler.set_timesteps(min(sampling.steps, time_steps))
    return scheduler


def _schedule_config(time_steps: int) -> dict[str, Any]:
    return {
        "num_train_timesteps": time_steps,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
        "clip_sample": False,
    }


METHODS.add("diffusion", DiffusionModel, DiffusionSettings)
