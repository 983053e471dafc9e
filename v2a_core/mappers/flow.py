"""Flow matching: straight paths from noise to the audio embedding, walked in a few steps. Solvers are diffusers'.

Source: Lipman et al., Flow Matching for Generative Modeling, arXiv:2210.02747 (optimal-transport paths); Liu et al.,
Flow Straight and Fast, arXiv:2209.03003.

Shapes: B rows, E width of an embedding.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from v2a_core.compute.diffusers_import import scheduler_class
from v2a_core.config import setting
from v2a_core.mappers.config import SamplingSettings
from v2a_core.mappers.denoising import DenoisingModel, DenoisingSettings
from v2a_core.mappers.registries import METHODS


class FlowSettings(DenoisingSettings):
    """Follows straight paths from noise to the audio embedding, conditioned on the visual one."""

    kind: Literal["flow"] = setting("flow", "the method")
    time_steps: int = setting(1000, "noise levels of the training, evenly spread", ge=10, le=10_000)


class FlowModel(DenoisingModel):
    """Predicts the velocity of `x = sigma * noise + (1 - sigma) * clean`, which is `noise - clean` all the way.

    Noise levels are `sigma = (step + 1) / time_steps`: the same networks take the step as for diffusion, and a solver
    stops only at levels that occur in training.
    """

    def _noisy(self, clean_BE: Tensor, noise_BE: Tensor, time_B: Tensor) -> Tensor:
        sigma_B1 = ((time_B + 1) / self._settings.time_steps)[:, None]
        return sigma_B1 * noise_BE + (1 - sigma_B1) * clean_BE

    def _target(self, clean_BE: Tensor, noise_BE: Tensor) -> Tensor:
        return noise_BE - clean_BE

    def _solver(self, sampling: SamplingSettings) -> Any:
        solvers = {"euler": "FlowMatchEulerDiscreteScheduler", "dpm++": "DPMSolverMultistepScheduler"}
        name = "dpm++" if sampling.scheduler == "auto" else sampling.scheduler
        if name not in solvers:
            raise ValueError(f"sampling.scheduler = {name!r}: a flow mapper samples by {' | '.join(solvers)}")
        time_steps = self._settings.time_steps
        if name == "euler":
            scheduler = scheduler_class(solvers[name])(num_train_timesteps=time_steps)
            scheduler.set_timesteps(sigmas=noise_levels(sampling.steps, time_steps).tolist())
            return scheduler
        scheduler = scheduler_class(solvers[name])(
            num_train_timesteps=time_steps,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            algorithm_type="dpmsolver++",
            final_sigmas_type="zero",
        )
        scheduler.set_timesteps(min(sampling.steps, time_steps))
        return scheduler

    def _step_of(self, timestep: Tensor) -> int:
        return min(max(round(float(timestep)) - 1, 0), self._settings.time_steps - 1)


def noise_levels(steps: int, time_steps: int) -> npt.NDArray[np.float64]:
    """Evenly spread levels from 1 down, without the 0 at the end, rounded to those of the training."""
    levels: npt.NDArray[np.float64] = np.linspace(1, 0, min(steps, time_steps) + 1)[:-1]
    rounded: npt.NDArray[np.float64] = np.round(levels * time_steps) / time_steps
    return rounded


METHODS.add("flow", FlowModel, FlowSettings)
