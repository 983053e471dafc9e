"""Log-mels through VAE and vocoder and back, each alone: how far they come back, in dB.

Shapes: N sounds, F frames, M mel bins.
"""

from __future__ import annotations

import numpy as np
import torch

from v2a_core.inspection.denoising import NEEDED
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.media.log_mel import log_mel

DB = 20 / np.log(10)
# What lies so far below the loudest of a sound is not heard beside it, and nobody's vocoder brings it back.
AUDIBLE_DB = 60.0
SOUNDS = 6
VAE_DB, VOCODER_DB = 6.0, 8.0


def check_round_trip(opened: Opened) -> list[Row]:
    """VAE and vocoder, each alone, on the log-mels of real sounds."""
    names = {"VAE": VAE_DB, "vocoder": VOCODER_DB}
    if not opened.material.sounds:
        return [
            unchecked(f"log-mels through the {name}", f"within {limit:g} dB", NEEDED) for name, limit in names.items()
        ]
    mels_NFM = opened.mels[:SOUNDS].cpu()
    rows = []
    for (name, limit), back_NFM in zip(names.items(), _through(opened), strict=True):
        error = mean_error_db(mels_NFM, back_NFM)
        rows.append(
            judged(
                f"log-mels through the {name}",
                f"within {limit:g} dB",
                f"{error:.1f} dB",
                error <= limit,
                _cause(name, mels_NFM, back_NFM),
            )
        )
    return rows


def mean_error_db(wanted_NFM: torch.Tensor, made_NFM: torch.Tensor) -> float:
    """Mean distance of log-mels where there is something to hear, the level of each sound aside."""
    heard = wanted_NFM * DB > wanted_NFM.amax(dim=(1, 2), keepdim=True) * DB - AUDIBLE_DB
    distances = [
        ((made - wanted)[mask] - (made - wanted)[mask].median()).abs().mean() * DB
        for wanted, made, mask in zip(wanted_NFM, made_NFM, heard, strict=True)
    ]
    return float(torch.stack(distances).mean())


def matching_bins(wanted_NFM: torch.Tensor, made_NFM: torch.Tensor) -> float:
    """Share of mel bins that come back at their own place or next to it: whose course is most alike there."""
    wanted_MT, made_MT = (_standard(mels.flatten(0, 1).T) for mels in (wanted_NFM, made_NFM))
    best_M = (wanted_MT @ made_MT.T).argmax(dim=1)
    return float(((best_M - torch.arange(len(best_M))).abs() <= 2).float().mean())


def _standard(values_MT: torch.Tensor) -> torch.Tensor:
    centred = values_MT - values_MT.mean(dim=1, keepdim=True)
    lengths: torch.Tensor = centred.norm(dim=1, keepdim=True)
    return centred / (lengths + 1e-8)


def _cause(name: str, wanted_NFM: torch.Tensor, made_NFM: torch.Tensor) -> str:
    at_home = matching_bins(wanted_NFM, made_NFM)
    if at_home < 0.5:
        return (
            f"mel bins are shuffled: {at_home:.0%} of them come back from the {name} where they were; its weights are "
            "for log-mels in another order"
        )
    return f"the {name} is not the one that these log-mels were made for, or its weights are damaged"


@torch.inference_mode()
def _through(opened: Opened) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mels of the first sounds that come back from VAE and vocoder, float32 (N, F, M) each."""
    parts = opened.generator.parts
    decoded = []
    heard = []
    for latent_CHW, mel_FM in zip(opened.latents[:SOUNDS], opened.mels[:SOUNDS], strict=True):
        latent_1CHW = latent_CHW[None].to(parts.vae.dtype) / float(parts.vae.config.scaling_factor)
        decoded.append(parts.vae.decode(latent_1CHW).sample[0, 0].float().cpu())
        heard.append(log_mel(parts.vocoder(mel_FM[None])[:, : len(mel_FM) * parts.geometry.hop_length].cpu())[0])
    return torch.stack(decoded), torch.stack(heard)
