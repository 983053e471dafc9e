"""AudioLDM as a generator: batches, precision, failures. What it computes is in `sampling`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.generators.audioldm.components import build_scheduler, load_parts
from v2a_core.generators.audioldm.sampling import denoise, initial_noise, row_generators
from v2a_core.generators.audioldm.text import TextEmbedder
from v2a_core.generators.config import MAX_DURATION_S, GeneratorSettings
from v2a_core.precision import choose_dtype, is_out_of_memory

Floats = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)


class GenerationError(RuntimeError):
    """Sounds cannot be made on this machine with these settings."""


class AudioLdmGenerator:
    """CLAP embeddings to waveforms, with the parts of a diffusers AudioLDM folder.

    Args:
        folder: Local folder of the checkpoint.
        settings: How to sample.
        device: `cpu`, `cuda`, `cuda:1`, ...

    Attributes:
        parts: The loaded models and their sizes.
        sample_rate: Rate of the waveforms, Hz.
        micro_batch: Sounds made at once; less than the settings say after memory ran out.

    Raises:
        ValueError: When the checkpoint is incomplete or its parts do not fit together.
    """

    def __init__(self, folder: str, settings: GeneratorSettings, device: str = "cpu") -> None:
        self._folder, self._settings, self._device = Path(folder), settings, device
        self.parts = load_parts(self._folder, device, choose_dtype(settings.precision, device))
        trained_steps = int(self.parts.scheduler_config.get("num_train_timesteps", 1000))
        if settings.num_inference_steps > trained_steps:
            raise ValueError(f"num_inference_steps = {settings.num_inference_steps}; {folder} knows {trained_steps}")
        self._text: TextEmbedder | None = None
        self._null: Floats | None = None
        self.sample_rate = self.parts.geometry.sample_rate
        self.micro_batch = settings.micro_batch

    @property
    def null_embedding(self) -> Floats:
        """AudioLDM's null condition, float32 (D,): the normalised CLAP text embedding of the empty text, not zeros."""
        if self._null is None:
            # The text encoder is nearly as large as the UNet, and jobs without text need it for this vector only.
            text = self._text or TextEmbedder(self._folder, "cpu")
            self._null = text.embed([""])[0]
        return self._null

    def embed_text(self, texts: Sequence[str]) -> Floats:
        """CLAP text embeddings, float32 (B, D), L2-normalised. The text encoder stays loaded from the first call on."""
        if self._text is None:
            self._text = TextEmbedder(self._folder, self._device)
        return self._text.embed(texts)

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """Make a sound for each condition.

        Args:
            conditions_BD: CLAP embeddings, float; any length but zero, they are L2-normalised here.
            seeds: One a row, 0 <= seed < 2**63.
            duration_s: Length of the sounds, up to `MAX_DURATION_S`.

        Returns:
            Float32 (B, round(duration_s * sample_rate)), -1..1. Row i depends on condition i, seed i and the duration
            only. A row that is not finite in float32 either is NaN; its neighbours are not touched.

        Raises:
            ValueError: For a wrong shape, length or seed, and for conditions that are zero or not finite, naming them.
            GenerationError: When not even one row fits into memory.
        """
        samples = self._check_duration(duration_s)
        conditions = self._check_conditions(conditions_BD)
        if len(seeds) != len(conditions):
            raise ValueError(f"{len(conditions)} conditions, but {len(seeds)} seeds: give one seed a row")
        waveforms_BT = np.empty((len(conditions), samples), np.float32)
        start = 0
        while start < len(conditions):
            rows = slice(start, min(start + self.micro_batch, len(conditions)))
            made = self._try(conditions[rows], seeds[rows], duration_s)
            if made is not None:
                waveforms_BT[rows] = made
                start = rows.stop
        return waveforms_BT

    def _try(self, conditions_BD: torch.Tensor, seeds: Sequence[int], duration_s: float) -> Floats | None:
        """None when memory ran out and the micro-batch was halved; by then the failed batch's tensors are gone."""
        try:
            return self._make(conditions_BD, seeds, duration_s)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(seeds) == 1:
                raise GenerationError(
                    f"not even one sound of {duration_s} s fits into the memory of {self._device}: {error}"
                ) from error
        self.micro_batch = len(seeds) // 2
        logger.warning("out of memory: going on with micro-batches of %d", self.micro_batch)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        return None

    def _make(self, conditions_BD: torch.Tensor, seeds: Sequence[int], duration_s: float) -> Floats:
        waveforms_BT, finite_B = self._synthesise(conditions_BD, seeds, duration_s)
        broken = np.flatnonzero(~finite_B)
        if len(broken) and self.parts.unet.dtype != torch.float32:
            logger.warning("%d of %d sounds are not finite in half precision: again in fp32", len(broken), len(seeds))
            with self._in_float32():
                again_BT, finite_again_B = self._synthesise(
                    conditions_BD[broken], [seeds[row] for row in broken], duration_s
                )
            waveforms_BT[broken], finite_B[broken] = again_BT, finite_again_B
        waveforms_BT[~finite_B] = math.nan
        return waveforms_BT

    @torch.inference_mode()
    def _synthesise(
        self, conditions_BD: torch.Tensor, seeds: Sequence[int], duration_s: float
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Waveforms (B, T), and whether each is finite at every stage (B,)."""
        parts, settings = self.parts, self._settings
        generators = row_generators(seeds)
        guided = settings.guidance_scale > 1
        latents_BCHW = denoise(
            parts.unet,
            build_scheduler(settings.sampler, parts.scheduler_config),
            initial_noise(parts.geometry.latent_shape(duration_s), generators).to(self._device),
            conditions_BD.to(self._device),
            torch.from_numpy(self.null_embedding).to(self._device) if guided else None,
            generators,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            eta=settings.eta,
        )
        scaled_BCHW = (latents_BCHW / parts.vae.config.scaling_factor).to(parts.vae.dtype)
        mels_BTM = parts.vae.decode(scaled_BCHW).sample[:, 0].float()
        waveforms_BT = parts.vocoder(mels_BTM)[:, : parts.geometry.samples(duration_s)]
        # The vocoder ends in tanh, which makes an infinite mel a finite waveform.
        finite_B = _finite_rows(latents_BCHW) & _finite_rows(mels_BTM) & _finite_rows(waveforms_BT)
        return waveforms_BT.cpu().numpy(), finite_B.cpu().numpy()

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        """UNet and VAE in float32 for a while; half precision weights survive the way there and back unchanged."""
        models = (self.parts.unet, self.parts.vae)
        dtype = self.parts.unet.dtype
        try:
            for model in models:
                torch.nn.Module.to(model, torch.float32)  # the class's own `to` warns about parts these models lack
            yield
        finally:
            for model in models:
                torch.nn.Module.to(model, dtype)

    def _check_duration(self, duration_s: float) -> int:
        if not 0 < duration_s <= MAX_DURATION_S:
            raise ValueError(f"duration_s = {duration_s}: AudioLDM makes sounds of up to {MAX_DURATION_S} s at once")
        samples = self.parts.geometry.samples(duration_s)
        if samples == 0:
            raise ValueError(f"duration_s = {duration_s} is less than a sample at {self.sample_rate} Hz")
        return samples

    def _check_conditions(self, conditions_BD: Floats) -> torch.Tensor:
        """L2-normalised float32 (B, D) on the CPU."""
        conditions = np.asarray(conditions_BD, np.float32)
        dim = self.parts.geometry.condition_dim
        if conditions.ndim != 2 or conditions.shape[1] != dim:
            raise ValueError(f"conditions of shape {conditions.shape}: the generator takes (B, {dim})")
        norms_B = np.linalg.norm(conditions, axis=1, keepdims=True)
        bad = np.flatnonzero(~np.isfinite(norms_B[:, 0]) | (norms_B[:, 0] == 0))
        if len(bad):
            raise ValueError(f"conditions of rows {bad.tolist()} are zero or not finite: leave these rows out")
        return torch.from_numpy(conditions / norms_B)


def _finite_rows(values: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(values).flatten(1).all(dim=1)
