"""From noise to latents, under conditions.

Shapes: B rows, C latent channels, H latent frames, W latent bins, D numbers of a condition.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch


def row_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """A source of noise for each row. On the CPU, so that every device draws the same numbers."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def initial_noise(shape_CHW: tuple[int, int, int], generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Standard normal float32 (B, C, H, W) on the CPU, each row from its own generator."""
    return torch.stack([torch.randn(shape_CHW, generator=generator) for generator in generators])


def denoise(
    unet: Any,
    scheduler: Any,
    noise_BCHW: torch.Tensor,
    conditions_BD: torch.Tensor,
    null_D: torch.Tensor | None,
    generators: list[torch.Generator],
    *,
    num_inference_steps: int,
    guidance_scale: float,
    eta: float,
) -> torch.Tensor:
    """The sampler's loop.

    Latents stay float32 throughout, as small steps are lost in half precision; only the UNet's input and output have
    its dtype.

    Args:
        unet: UNet2DConditionModel: from latents, time and class labels to what the scheduler's `prediction_type` says.
        scheduler: A diffusers scheduler, used for this batch only.
        noise_BCHW: Standard normal noise, float32, on the UNet's device.
        conditions_BD: L2-normalised, float32.
        null_D: The condition that guidance leads away from; None for no guidance.
        generators: Noise of the steps, one a row, in the state after `initial_noise`.
        num_inference_steps: Steps.
        guidance_scale: w in  null + w * (conditioned - null)  (classifier-free guidance, arXiv:2207.12598).
        eta: Share of fresh noise in each step, for samplers that know it.

    Returns:
        Latents, float32 (B, C, H, W).
    """
    labels_BD = conditions_BD if null_D is None else torch.cat([null_D.expand_as(conditions_BD), conditions_BD])
    labels_BD = labels_BD.to(unet.dtype)
    scheduler.set_timesteps(num_inference_steps, device=noise_BCHW.device)
    noise_options = _accepted(scheduler, {"eta": eta, "generator": generators})
    latents_BCHW: torch.Tensor = noise_BCHW * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        inputs_BCHW = latents_BCHW if null_D is None else torch.cat([latents_BCHW, latents_BCHW])
        inputs_BCHW = scheduler.scale_model_input(inputs_BCHW, timestep).to(unet.dtype)
        predicted_BCHW = unet(inputs_BCHW, timestep, encoder_hidden_states=None, class_labels=labels_BD).sample.float()
        if null_D is not None:
            away_BCHW, towards_BCHW = predicted_BCHW.chunk(2)
            predicted_BCHW = away_BCHW + guidance_scale * (towards_BCHW - away_BCHW)
        latents_BCHW = scheduler.step(predicted_BCHW, timestep, latents_BCHW, **noise_options).prev_sample
    return latents_BCHW


def _accepted(scheduler: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Those options that this scheduler's step has."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in options.items() if name in known}
