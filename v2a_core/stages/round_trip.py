"""Real sounds through the generator's VAE and vocoder and back: the best that a mapper in front of them could reach.

Shapes: T samples, F frames, M mel bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.config import ConfigError
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.media.resample import fit_length
from v2a_core.media.types import Pcm
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import LocalBundle
from v2a_core.tables import rows
from v2a_core.tables.evaluated import SAMPLES, pack_pcm, unpack_pcm

PEAK = 0.5  # of what AudioLDM was trained on
_LEAST = 2048  # samples: a spectrogram needs some
_QUIET = 1e-8

Floats = npt.NDArray[np.float32]


class RoundTrip:
    """VAE and vocoder of a bundle.

    Args:
        bundle: The models.
        device: Where they run.

    Raises:
        ConfigError: When its generator has none that are known.
    """

    def __init__(self, bundle: LocalBundle, device: str) -> None:
        check_round_trip(bundle)
        # Who only checks a bundle loads no torch.
        from v2a_core.generators.audioldm.components import build
        from v2a_core.media.log_mel import HOP_LENGTH

        source = audioldm_source(bundle.generator)
        self._vae: Any = build(source, "vae").to(device)
        self._vocoder: Any = build(source, "vocoder").to(device)
        self._device = device
        self._grid = HOP_LENGTH * 2 ** (len(self._vae.config.block_out_channels) - 1)

    def __call__(self, sound_T: Floats) -> Floats:
        """What comes back of a sound, float32 (T,), of its own level.

        Args:
            sound_T: Float32, at 16 kHz, without its mean value.
        """
        import torch

        from v2a_core.media.log_mel import log_mel

        level = PEAK / max(float(np.abs(sound_T).max(initial=0.0)), _QUIET)
        samples = -(-max(len(sound_T), _LEAST) // self._grid) * self._grid
        padded_1T = torch.from_numpy(fit_length(sound_T * np.float32(level), samples))[None].to(self._device)
        with torch.inference_mode():
            mels_11FM = log_mel(padded_1T)[:, None]
            decoded_1FM = self._vae.decode(self._vae.encode(mels_11FM).latent_dist.mean).sample[:, 0]
            back_T: Floats = self._vocoder(decoded_1FM)[0].float().cpu().numpy()
        return fit_length(back_T, len(sound_T)) / np.float32(level)


def check_round_trip(bundle: LocalBundle) -> None:
    """Refuse a bundle whose generator has no VAE and vocoder that are known.

    Raises:
        ConfigError: Naming it.
    """
    if bundle.generator_name != "audioldm":
        raise ConfigError(
            f"round_trip is of AudioLDM's VAE and vocoder, and the generator of the bundle {bundle.name!r} is "
            f"{bundle.generator_name!r}: say --set round_trip=false"
        )


def through(batch: pa.Table, trip: RoundTrip, protocol: Protocol) -> pa.Table:
    """Rows with `sound`: each becomes what comes back of what a protocol hears of it. Rejected rows pass."""
    from v2a_core.media.log_mel import SAMPLE_RATE

    found = [
        None if pcm is None else pack_pcm(Pcm(trip(protocol.at_rate(pcm, SAMPLE_RATE))[:, None], SAMPLE_RATE))
        for pcm in unpack_pcm(batch["sound"])
    ]
    return rows.replace(batch, {"sound": pa.array(found, SAMPLES)}, drop=[])
