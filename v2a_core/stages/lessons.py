"""Sounds become lessons of an adapter: what CLAP hears, what the generator's VAE makes of them, and their envelope.

Shapes: B sounds, T samples, F values of a curve, C latent channels, H and W latent frames and bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from v2a_core import encoders
from v2a_core.config import ConfigError
from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.media.log_mel import HOP_LENGTH, MEL_BINS, SAMPLE_RATE, log_mel
from v2a_core.media.resample import clap_waveform, fit_length, is_silent
from v2a_core.media.types import MediaError
from v2a_core.models import LocalBundle
from v2a_core.protocols import Floats
from v2a_core.stages.predict import pack
from v2a_core.stages.round_trip import PEAK
from v2a_core.tables import arrays, rows
from v2a_core.tables.arrays import Array
from v2a_core.tables.schema import CURVE_PARTS, EMBEDDING_DIM
from v2a_core.timing.envelope import envelope

_NOT_FINITE = MediaError("audio", "NonFinite", "its samples, or what the models make of them, are not finite")


def check_teaches(local: LocalBundle) -> None:
    """Refuse a bundle whose generator takes no adapter that could be trained here.

    Raises:
        ConfigError: Naming it.
    """
    if local.generator_name != "audioldm":
        raise ConfigError(
            f"adapters are trained for AudioLDM, and the generator of the bundle {local.name!r} is "
            f"{local.generator_name!r}: choose another bundle (--models)"
        )


class LessonMaker:
    """The frozen models that hear.

    Args:
        local: The bundle.
        settings: How the audio encoder runs.
        device: Where.
        length_s: Of the longest segment; shorter ones are filled up with silence.

    Attributes:
        numbers: Of a latent frame.
    """

    def __init__(self, local: LocalBundle, settings: EncoderSettings, device: str, length_s: float) -> None:
        from v2a_core.generators.audioldm.components import build

        check_teaches(local)
        self._spec, self._device = local.media_spec(), device
        self._ears = encoders.build_audio(local, settings, device)
        vae: Any = build(audioldm_source(local.generator), "vae").to(device)
        self._vae, config = vae, vae.config
        self._frame = HOP_LENGTH * 2 ** (len(config.block_out_channels) - 1)
        self._samples = -(-round(length_s * SAMPLE_RATE) // self._frame) * self._frame
        self._scale = float(config.scaling_factor)
        self.numbers = config.latent_channels * MEL_BINS * HOP_LENGTH // self._frame

    def make(self, batch: pa.Table) -> pa.Table:
        """Fill `clap_embedding`, `latents` and `curve` from the sounds, and drop these. Without sound they are null."""
        sounds = rows.read_waveforms(batch)
        finite = [sound is None or bool(np.isfinite(sound).all()) for sound in sounds]
        present = [row for row, sound in enumerate(sounds) if sound is not None and finite[row] and _is_heard(sound)]
        heard = [sound for row, sound in enumerate(sounds) if row in present and sound is not None]
        clap_BD, latents, curves = self._hear(heard)
        bad = [not good for good in finite]
        for place, row in enumerate(present):
            bad[row] = not (np.isfinite(clap_BD[place]).all() and np.isfinite(latents[place]).all())
        places = {row: place for place, row in enumerate(present) if not bad[row]}
        order = [places.get(row) for row in range(batch.num_rows)]
        columns = {
            "clap_embedding": arrays.vectors(_placed(list(clap_BD), order), EMBEDDING_DIM),
            "latents": arrays.vector_lists(_placed(latents, order), self.numbers, np.float16),
            "curve": arrays.vector_lists(_placed(curves, order), CURVE_PARTS, np.float16),
        }
        return rows.reject_where(rows.replace(batch, columns, drop=["waveform", "frames"]), bad, _NOT_FINITE)

    @torch.inference_mode()
    def _hear(self, sounds: list[Floats]) -> tuple[Floats, list[Array], list[Array]]:
        """Embeddings (B, D), latents float16 (H, C * W) each, packed curves (F, 3) each."""
        heard_BT = np.stack([clap_waveform(sound_T, SAMPLE_RATE, self._spec) for sound_T in sounds]) if sounds else None
        clap_BD = self._ears.encode(heard_BT) if heard_BT is not None else np.zeros((0, EMBEDDING_DIM), np.float32)
        latents = [self._latents(sound_T) for sound_T in sounds]
        return clap_BD, latents, [pack(envelope(sound_T, SAMPLE_RATE)) for sound_T in sounds]

    def _latents(self, sound_T: Floats) -> Array:
        centred_T = sound_T - sound_T.mean()
        level = PEAK / max(float(np.abs(centred_T).max()), 1e-8)
        samples_1T = torch.from_numpy(fit_length(centred_T * np.float32(level), self._samples))[None]
        mels_11FM = log_mel(samples_1T.to(self._device))[:, None]
        latents_1CHW = self._vae.encode(mels_11FM).latent_dist.mean * self._scale
        latents: Array = latents_1CHW[0].permute(1, 0, 2).flatten(1).half().cpu().numpy()
        return latents


def _is_heard(sound_T: Floats) -> bool:
    return not is_silent(sound_T) and not is_silent(sound_T - sound_T.mean())


def _placed(values: Sequence[Array], order: Sequence[int | None]) -> list[Array | None]:
    return [None if place is None else values[place] for place in order]
