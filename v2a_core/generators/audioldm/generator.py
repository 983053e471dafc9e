"""AudioLDM as a generator: soundtracks in, waveforms out; batches, precision, failures.

Shapes: N segments, D numbers of a condition, S samples.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.compute.memory import Batches
from v2a_core.compute.precision import choose_dtype
from v2a_core.generators.audioldm.adapter import CurveTape, EnvelopeAdapter, Residuals, Steering
from v2a_core.generators.audioldm.adapter_file import latents_of, load_envelope_adapter
from v2a_core.generators.audioldm.components import as_source, build_scheduler, load_parts
from v2a_core.generators.audioldm.config import MAX_DURATION_S, TRAINED_S, AudioLdmSettings
from v2a_core.generators.audioldm.decoding import LatentDecoder
from v2a_core.generators.audioldm.layout import AudioLdmSource
from v2a_core.generators.audioldm.sampling import Predictor, SegmentNoise, View, denoise
from v2a_core.generators.audioldm.text import TextEmbedder
from v2a_core.generators.windows import Layout, Window, lay_out
from v2a_core.protocols import Curve, Track

Floats = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)

# Tracks are denoised together until they have so many micro-batches of windows: few of them are not full.
FULL_BATCHES = 4


@dataclass(frozen=True)
class _Plan:
    """A track that was checked, in latent frames."""

    conditions_ND: Floats
    nulls_ND: Floats | None
    seeds: Sequence[int]
    layout: Layout
    samples: int
    curve: Curve | None = None


class AudioLdmGenerator:
    """CLAP embeddings to waveforms, with the parts of an AudioLDM.

    Args:
        source: AudioLDM's parts, or their folder in diffusers' layout.
        settings: How to sample.
        device: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        parts: The loaded models and their sizes.
        sample_rate: Rate of the waveforms, Hz.
        seconds: Time spent so far in `unet` (with the sampler's steps), `vae` and `vocoder`.

    Raises:
        ValueError: When the checkpoint is incomplete or its parts do not fit together.
    """

    def __init__(self, source: Path | AudioLdmSource, settings: AudioLdmSettings, device: str = "cpu") -> None:
        self._source, self._settings, self._device = as_source(source), settings, device
        self.parts = load_parts(self._source, device, choose_dtype(settings.precision, device))
        trained_steps = int(self.parts.scheduler_config.get("num_train_timesteps", 1000))
        if settings.num_inference_steps > trained_steps:
            raise ValueError(
                f"num_inference_steps = {settings.num_inference_steps}; {self._source.path} knows {trained_steps}"
            )
        self._adapter: EnvelopeAdapter | None = None
        self._text: TextEmbedder | None = None
        self._null: Floats | None = None
        self.sample_rate = self.parts.geometry.sample_rate
        self.seconds: dict[str, float] = {"unet": 0.0, "vae": 0.0, "vocoder": 0.0}
        size = settings.micro_batch or (32 if device.startswith("cuda") else 8)
        self._windows = Batches("windows", size, device)
        self._decoder = LatentDecoder(
            self.parts,
            Batches("pieces of latents", size, device),
            Batches("pieces of log-mels", size, device),
        )
        self._fast_unet: Any = torch.compile(self.parts.unet) if settings.compile else self.parts.unet

    @property
    def micro_batch(self) -> int:
        """Windows that go through the UNet at once; less than the settings say after memory ran out."""
        return self._windows.size

    @property
    def null_embedding(self) -> Floats:
        """AudioLDM's null condition, float32 (D,): the normalised CLAP text embedding of the empty text, not zeros."""
        if self._null is None:
            # The text encoder is nearly as large as the UNet, and jobs without text need it for this vector only.
            text = self._text or TextEmbedder(self._source, "cpu")
            self._null = text.embed_text([""])[0]
        return self._null

    def use_adapter(self, adapter: Path) -> None:
        """Follow the curves of tracks from now on; see `CurveFollower`.

        Raises:
            ModelError: When the adapter is for other latents, or another UNet.
        """
        latents = latents_of(self.parts.geometry)
        self._adapter = load_envelope_adapter(adapter, self.parts.unet.config, latents).to(self._device)

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """CLAP text embeddings, float32 (N, D), L2-normalised. The text encoder stays loaded from the first call on."""
        if self._text is None:
            self._text = TextEmbedder(self._source, self._device)
        return self._text.embed_text(texts)

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """Make a sound for each condition, all of one length.

        Args:
            conditions_BD: CLAP embeddings, float; any length but zero, they are L2-normalised here.
            seeds: One a row, 0 <= seed < 2**63.
            duration_s: Length of the sounds, up to `MAX_DURATION_S`.

        Returns:
            Float32 (B, round(duration_s * sample_rate)), -1..1. Row i depends on condition i, seed i and the duration
            only. A row that is not finite in float32 either is NaN; its neighbours are not touched.

        Raises:
            ValueError: For a wrong shape, length or seed, and for conditions that are zero or not finite, naming them.
            GenerationError: When not even one sound fits into memory.
        """
        conditions, samples = self._unit(conditions_BD), self._samples(duration_s)
        if len(seeds) != len(conditions):
            raise ValueError(f"{len(conditions)} conditions, but {len(seeds)} seeds: give one seed a row")
        if duration_s > MAX_DURATION_S:
            raise ValueError(f"duration_s = {duration_s}: AudioLDM makes sounds of up to {MAX_DURATION_S} s at once")
        _, frames, _ = self.parts.geometry.latent_shape(duration_s)
        layout = Layout((0, frames), (Window(0, np.ones(frames, np.float32)),))
        plans = [_Plan(conditions[[row]], None, [seed], layout, samples) for row, seed in enumerate(seeds)]
        made = [waveform for group in self._groups(plans) for waveform in self._make(group)]
        return np.stack(made) if made else np.empty((0, samples), np.float32)

    def generate_tracks(self, tracks: Sequence[Track], overlap_s: float) -> Iterator[Floats]:
        """Make soundtracks of any length, each denoised as a whole.

        Memory grows with the longest track by about four times its latents and its waveform.

        Args:
            tracks: What to make.
            overlap_s: Stretch over which one segment's sound turns into the next one's.

        Yields:
            For each track float32 (round(length_s * sample_rate),), -1..1: it depends on the track and the overlap
            only. One that is not finite in float32 either is NaN; the others are not touched.

        Raises:
            ValueError: For what cannot be made, before anything is.
            GenerationError: When not even one window fits into memory.
        """
        plans = [self._plan(track, overlap_s) for track in tracks]
        for group in self._groups(plans):
            yield from self._make(group)

    def _plan(self, track: Track, overlap_s: float) -> _Plan:
        sizes = self.parts.geometry
        count = len(track.starts_s)
        if not count == len(track.seeds) == len(track.conditions_ND):
            raise ValueError(
                f"a track with {count} segments, {len(track.conditions_ND)} conditions and {len(track.seeds)} seeds"
            )
        samples = self._samples(track.length_s)
        layout = lay_out(track.starts_s, track.length_s, sizes.frame_s, sizes.unet_factor, overlap_s, TRAINED_S)
        window_s = len(layout.windows[0].weights_H) * sizes.frame_s
        if window_s > MAX_DURATION_S + 1e-6:
            raise ValueError(f"windows of {window_s:g} s: AudioLDM makes sounds of up to {MAX_DURATION_S} s at once")
        nulls = None if track.null_D is None else np.repeat(self._unit(track.null_D[None]), count, axis=0)
        curve = None if self._settings.adapter.is_off else track.curve
        if curve is not None and self._adapter is None:
            raise ValueError("a track with a curve, and no adapter to follow it: see `use_adapter`")
        return _Plan(self._unit(track.conditions_ND), nulls, track.seeds, layout, samples, curve)

    def _groups(self, plans: Sequence[_Plan]) -> Iterator[list[_Plan]]:
        """Neighbours that are denoised together."""
        group: list[_Plan] = []
        for plan in plans:
            if group and sum(len(item.seeds) for item in [*group, plan]) > FULL_BATCHES * self.micro_batch:
                yield group
                group = []
            group.append(plan)
        if group:
            yield group

    def _make(self, plans: Sequence[_Plan]) -> list[Floats]:
        made = self._synthesise(plans, self._fast_unet)
        broken = [index for index, waveform in enumerate(made) if waveform is None]
        if broken and self.parts.unet.dtype != torch.float32:
            logger.warning("%d of %d sounds are not finite in half precision: again in fp32", len(broken), len(plans))
            with self._in_float32():
                again = self._synthesise([plans[index] for index in broken], self.parts.unet)
            for index, waveform in zip(broken, again, strict=True):
                made[index] = waveform
        return [
            np.full(plan.samples, math.nan, np.float32) if waveform is None else waveform
            for plan, waveform in zip(plans, made, strict=True)
        ]

    @torch.inference_mode()
    def _synthesise(self, plans: Sequence[_Plan], unet: Any) -> list[Floats | None]:
        """The waveform of each track; None for one that is not finite at some stage."""
        # Convolutions in TF32 differ by a thousandth from batch size to batch size, too much for what is asked as fp32.
        tf32 = torch.backends.cudnn.allow_tf32 and self.parts.unet.dtype != torch.float32
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=tf32):
            with self._timed("unet"):
                tape_HWC = self._denoise(plans, unet)
            latents = tape_HWC.split([plan.layout.frames for plan in plans])
            # On a GPU the VAE is in fp32, and in TF32 that would be half in vain.
            exact = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
            with self._timed("vae"), exact:
                mels = self._decoder.mels(latents)
            with self._timed("vocoder"):
                waveforms = self._decoder.waveforms(mels)
        # The vocoder ends in tanh, which makes an infinite mel a finite waveform.
        stages = zip(latents, mels, waveforms, strict=True)
        finite = [all(bool(torch.isfinite(values).all()) for values in stage) for stage in stages]
        return [
            waveform_S[: plan.samples].cpu().numpy() if is_finite else None
            for plan, waveform_S, is_finite in zip(plans, waveforms, finite, strict=True)
        ]

    def _denoise(self, plans: Sequence[_Plan], unet: Any) -> torch.Tensor:
        """The tape of all tracks."""
        parts, settings = self.parts, self._settings
        spans = [last - first for plan in plans for first, last in itertools.pairwise(plan.layout.borders)]
        seeds = [seed for plan in plans for seed in plan.seeds]
        noise = SegmentNoise(spans, seeds, parts.geometry.latent_channels, parts.geometry.latent_bins, self._device)
        dtype = parts.unet.dtype
        conditions_ND = torch.from_numpy(np.concatenate([plan.conditions_ND for plan in plans]))
        nulls_ND = self._nulls(plans)
        predict = Predictor(
            unet,
            dtype,
            self._views(plans),
            conditions_ND.to(self._device, dtype),
            None if nulls_ND is None else nulls_ND.to(self._device, dtype),
            settings.guidance_scale,
            self._windows,
            self._steering(plans),
        )
        scheduler = build_scheduler(settings.sampler, parts.scheduler_config)
        return denoise(predict, scheduler, noise, num_inference_steps=settings.num_inference_steps, eta=settings.eta)

    def _steering(self, plans: Sequence[_Plan]) -> Steering | None:
        """What the curves of tracks add to the UNet; None when no track follows one."""
        adapter, settings = self._adapter, self._settings
        if adapter is None or all(plan.curve is None for plan in plans):
            return None
        rows: list[Residuals | None] = []
        for plan in plans:
            if plan.curve is None:
                rows += [None] * len(plan.layout.windows)
                continue
            tape = CurveTape(adapter, plan.curve, plan.layout.frames, settings.adapter.scale)
            rows += [tape.part(window.start, len(window.weights_H)) for window in plan.layout.windows]
        steps = round(settings.adapter.steps_share * settings.num_inference_steps)
        return Steering(self.parts.unet, adapter.entries, rows, steps)

    def _nulls(self, plans: Sequence[_Plan]) -> torch.Tensor | None:
        if self._settings.guidance_scale <= 1:
            return None
        nulls = [
            np.repeat(self.null_embedding[None], len(plan.seeds), axis=0) if plan.nulls_ND is None else plan.nulls_ND
            for plan in plans
        ]
        return torch.from_numpy(np.concatenate(nulls))

    def _views(self, plans: Sequence[_Plan]) -> list[View]:
        views: list[View] = []
        offset = 0
        for plan in plans:
            for window in plan.layout.windows:
                alone = bool((window.weights_H == 1).all())
                weights = None if alone else torch.from_numpy(window.weights_H)[:, None, None].to(self._device)
                views.append(View(offset + window.start, len(window.weights_H), weights, len(views)))
            offset += plan.layout.frames
        return views

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._device.startswith("cuda"):
                torch.cuda.synchronize(self._device)
            self.seconds[part] += time.perf_counter() - started

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        """UNet and VAE in float32 for a while; half precision weights survive the way there and back unchanged."""
        models = (self.parts.unet, self.parts.vae)
        dtypes = [model.dtype for model in models]
        try:
            for model in models:
                torch.nn.Module.to(model, torch.float32)  # the class's own `to` warns about parts these models lack
            yield
        finally:
            for model, dtype in zip(models, dtypes, strict=True):
                torch.nn.Module.to(model, dtype)

    def _samples(self, duration_s: float) -> int:
        if not 0 < duration_s < math.inf:
            raise ValueError(f"duration_s = {duration_s}: a sound has a length of more than 0 s")
        samples = self.parts.geometry.samples(duration_s)
        if samples == 0:
            raise ValueError(f"duration_s = {duration_s} is less than a sample at {self.sample_rate} Hz")
        return samples

    def _unit(self, conditions_ND: Floats) -> Floats:
        """L2-normalised float32 (N, D)."""
        conditions = np.asarray(conditions_ND, np.float32)
        dim = self.parts.geometry.condition_dim
        if conditions.ndim != 2 or conditions.shape[1] != dim:
            raise ValueError(f"conditions of shape {conditions.shape}: the generator takes (B, {dim})")
        norms_N1 = np.linalg.norm(conditions, axis=1, keepdims=True)
        bad = np.flatnonzero(~np.isfinite(norms_N1[:, 0]) | (norms_N1[:, 0] == 0))
        if len(bad):
            raise ValueError(f"conditions of rows {bad.tolist()} are zero or not finite: leave these rows out")
        unit: Floats = conditions / norms_N1
        return unit
