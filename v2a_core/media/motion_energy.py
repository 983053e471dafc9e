"""How much moves from each frame to the next, cheaply: the mean difference of their grey levels.

It tells less than optical flow (`media.motion`), and costs next to nothing while frames are decoded anyway. Frames are
made small first, so that neither the noise of a codec counts nor the size at which a model wants them.

Shapes: N frames, H x W pixels, S x S small ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from v2a_core.protocols import Floats

SIZE = 32
WHITE = 255.0


def small_grey(frames_NHWC: npt.NDArray[np.uint8]) -> Floats:
    """The grey levels of frames, averaged over SIZE x SIZE fields (fewer of smaller frames), float32 (N, S, S), 0..1.

    Args:
        frames_NHWC: uint8 RGB.
    """
    grey_NHW = frames_NHWC.mean(axis=3, dtype=np.float32)
    for axis in (1, 2):
        length = grey_NHW.shape[axis]
        edges = np.linspace(0, length, min(SIZE, length) + 1).round().astype(np.int64)
        shape = [1, 1, 1]
        shape[axis] = -1
        grey_NHW = np.add.reduceat(grey_NHW, edges[:-1], axis=axis) / np.diff(edges).reshape(shape).astype(np.float32)
    small: Floats = (grey_NHW / np.float32(WHITE)).astype(np.float32)
    return small


def motion_energy(grey_NSS: Floats, before_SS: Floats | None = None) -> Floats:
    """The mean absolute difference of each frame from the one before, float32 (N,), 0..1.

    Args:
        grey_NSS: Of `small_grey`.
        before_SS: Of the frame before the first; None: there is none, and the first has moved by nothing.
    """
    first_SS = grey_NSS[0] if before_SS is None else before_SS
    changes_NSS = np.diff(grey_NSS, axis=0, prepend=first_SS[None])
    energy_N: Floats = np.abs(changes_NSS).mean(axis=(1, 2)).astype(np.float32)
    return energy_N
