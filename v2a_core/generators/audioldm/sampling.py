"""From noise to latents: whole soundtracks at once, seen through windows.

The latents of all soundtracks of a batch lie one behind the other on a tape, and one sampler steps the whole tape. A
sampler's step is elementwise and affine in what the UNet predicts, so that averaging the predictions of overlapping
windows is averaging their latents, and samplers that remember earlier steps have one memory for all windows.

Shapes: B windows, C latent channels, H latent frames, W latent bins, N conditions, D numbers of a condition. Tapes have
the channels last: a window is a slice of contiguous memory.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from v2a_core.compute.memory import Batches
from v2a_core.generators.audioldm.adapter import Steering

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class SegmentNoise:
    """Standard normal noise for a tape, each segment's from a source of its own.

    Drawn on the CPU, so that every device has the same numbers, in the shape and order in which diffusers draws for a
    segment that is alone.

    Args:
        spans: Frames of the segments, in the order of the tape.
        seeds: One a segment.
        channels: C.
        bins: W.
        device: Where the tape is.
    """

    def __init__(self, spans: Sequence[int], seeds: Sequence[int], channels: int, bins: int, device: str) -> None:
        self._shapes = [(channels, frames, bins) for frames in spans]
        self._sources = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.device = device

    def draw(self) -> torch.Tensor:
        """The next noise, float32 (H, W, C)."""
        pieces = [
            torch.randn(shape, generator=source).permute(1, 2, 0)
            for shape, source in zip(self._shapes, self._sources, strict=True)
        ]
        return torch.cat(pieces).to(self.device)


@dataclass(frozen=True)
class View:
    """A window on the tape.

    Attributes:
        start: Its first frame on the tape.
        frames: Its length.
        weights_H11: Its share in its frames; None for all of each.
        condition: Row of its condition.
    """

    start: int
    frames: int
    weights_H11: torch.Tensor | None
    condition: int


class Predictor:
    """What the UNet says of a tape: of each window under its own condition, averaged where windows overlap.

    Args:
        unet: UNet2DConditionModel: from latents, time and class labels to what the scheduler's `prediction_type` says.
        dtype: Its number format.
        views: Windows that cover the tape; their shares add up to 1 in each frame.
        conditions_ND: L2-normalised, in the UNet's number format.
        nulls_ND: For each condition what guidance leads away from; None for no guidance.
        guidance_scale: w in  null + w * (conditioned - null)  (classifier-free guidance, arXiv:2207.12598).
        batches: How many windows go through the UNet at once.
        steering: What curves add to it; its rows are those of the conditions.
    """

    def __init__(
        self,
        unet: Any,
        dtype: torch.dtype,
        views: Sequence[View],
        conditions_ND: torch.Tensor,
        nulls_ND: torch.Tensor | None,
        guidance_scale: float,
        batches: Batches,
        steering: Steering | None = None,
    ) -> None:
        self._unet, self._dtype = unet, dtype
        self._views = views
        self._conditions_ND, self._nulls_ND = conditions_ND, nulls_ND
        self._guidance_scale, self._batches, self._steering = guidance_scale, batches, steering
        self._step = 0

    def __call__(self, tape_HWC: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Float32 (H, W, C) for a tape of the same shape; called once a step, in the order of the steps."""
        predicted_HWC = torch.zeros_like(tape_HWC)

        def run(views: Sequence[View]) -> None:
            made_BHWC = self._predict(tape_HWC, views, timestep)
            for view, made_HWC in zip(views, made_BHWC, strict=True):
                share_HWC = made_HWC if view.weights_H11 is None else made_HWC * view.weights_H11
                predicted_HWC[view.start : view.start + view.frames] += share_HWC

        self._batches.run(self._views, run, key=lambda view: view.frames)
        self._step += 1
        return predicted_HWC

    def _predict(self, tape_HWC: torch.Tensor, views: Sequence[View], timestep: torch.Tensor) -> torch.Tensor:
        """Float32 (B, H, W, C)."""
        rows = torch.tensor([view.condition for view in views], device=tape_HWC.device)
        inputs_BHWC = torch.stack([tape_HWC[view.start : view.start + view.frames] for view in views]).to(self._dtype)
        labels_BD = self._conditions_ND[rows]
        if self._nulls_ND is not None:
            inputs_BHWC = inputs_BHWC.repeat(2, 1, 1, 1)
            labels_BD = torch.cat([self._nulls_ND[rows], labels_BD])
        inputs_BCHW = inputs_BHWC.permute(0, 3, 1, 2)  # in memory: channels last
        made_BCHW = self._steered(inputs_BCHW, timestep, labels_BD, [view.condition for view in views])
        made_BHWC = made_BCHW.permute(0, 2, 3, 1).float()
        if self._nulls_ND is None:
            return made_BHWC
        away_BHWC, towards_BHWC = made_BHWC.chunk(2)
        return away_BHWC + self._guidance_scale * (towards_BHWC - away_BHWC)

    def _steered(
        self, inputs_BCHW: torch.Tensor, timestep: torch.Tensor, labels_BD: torch.Tensor, rows: Sequence[int]
    ) -> torch.Tensor:
        """What the UNet makes; its last rows, those under their own condition, follow their curves."""
        unet, scope = self._unet, contextlib.ExitStack()
        if self._steering is not None and self._steering.concerns(rows, self._step):
            unet = self._steering.unet
            scope.enter_context(self._steering.adding(rows))
        with scope:
            made: torch.Tensor = unet(inputs_BCHW, timestep, encoder_hidden_states=None, class_labels=labels_BD).sample
        return made


def denoise(
    predict: Predict, scheduler: Any, noise: SegmentNoise, *, num_inference_steps: int, eta: float
) -> torch.Tensor:
    """The sampler's loop.

    The tape stays float32 throughout, as small steps are lost in half precision.

    Args:
        predict: From a tape and a timestep to the scheduler's `prediction_type` of the whole tape.
        scheduler: A diffusers scheduler, used for this tape only.
        noise: Of the tape.
        num_inference_steps: Steps.
        eta: Share of fresh noise in each step, for samplers that know it.

    Returns:
        Latents, float32 (H, W, C).
    """
    scheduler.set_timesteps(num_inference_steps, device=noise.device)
    known = inspect.signature(scheduler.step).parameters
    options: dict[str, Any] = {"eta": eta} if "eta" in known else {}
    is_noisy = eta > 0 or str(scheduler.config.get("algorithm_type", "")).startswith("sde")
    tape_HWC: torch.Tensor = noise.draw() * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        predicted_HWC = predict(scheduler.scale_model_input(tape_HWC, timestep), timestep)
        if is_noisy:  # on the tape, so that overlapping windows share it
            options["variance_noise"] = noise.draw()
        tape_HWC = scheduler.step(predicted_HWC, timestep, tape_HWC, **options).prev_sample
    return tape_HWC
