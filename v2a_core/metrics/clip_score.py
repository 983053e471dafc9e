"""CLIP score (CS): how near a sound is to the frames of its video in the space of CLIP's images.

The sound's embedding is Wav2CLIP's, the frames' are CLIP ViT-B/32's. Sources: R. Sheffer, Y. Adi, I Hear Your True
Colors: Image Guided Audio Generation, ICASSP 2023, arXiv 2211.03089; V2A-Mapper, arXiv 2308.09300, which reports it
times 100.

Shapes: F frames of one video, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError
from v2a_core.metrics.similarity import cosine

SCALE = 100.0


def clip_score(frames_FD: npt.NDArray[np.floating[Any]], sound_D: npt.NDArray[np.floating[Any]]) -> float:
    """The mean cosine of a sound and the frames of its video, times 100; the metric is its mean over videos.

    Args:
        frames_FD: CLIP's embeddings, normalised or not.
        sound_D: Wav2CLIP's embedding, normalised or not.

    Raises:
        NotMeasuredError: Without frames, or for an embedding of zeros.
    """
    if not len(frames_FD):
        raise NotMeasuredError("a CLIP score needs at least one frame")
    cosines_F = cosine(frames_FD, np.broadcast_to(sound_D, frames_FD.shape))
    if not np.isfinite(cosines_F).all():
        raise NotMeasuredError("a CLIP score needs embeddings that are not zero")
    return SCALE * float(cosines_F.mean())
