"""What an adapter learns from, out of rows of `tables.lessons`.

Shapes: N sounds, C latent channels, H and W latent frames and bins, F values of a curve, D numbers of an embedding.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.config import ConfigError
from v2a_core.generators.audioldm.adapter import stride_of
from v2a_core.generators.audioldm.components import Geometry
from v2a_core.tables import arrays
from v2a_core.tables.arrays import Array

ItemT = TypeVar("ItemT")

COLUMNS = ("duration_s", "clap_embedding", "latents", "curve")
_FOLLOWED = 2  # of a curve: level and onset


class Lessons:
    """Reads tables.

    Args:
        sizes: Of the generator.
        length_s: Of the longest segment.

    Attributes:
        frames: H: of that segment, as many as the UNet halves.
    """

    def __init__(self, sizes: Geometry, length_s: float) -> None:
        self._sizes, self._stride = sizes, stride_of(sizes.frame_s)
        _, self.frames, _ = sizes.latent_shape(length_s)

    def read(self, table: pa.Table) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays of the rows.

        They are `latents` (N, C, H, W), `condition` (N, D), `curve` (N, 2, F), and `frames` (N,): how many of the
        latent frames are of the sound, the rest fills up.

        Raises:
            ConfigError: When a row lacks one of them, or latents are those of another generator.
        """
        lacking = [name for name in COLUMNS if table[name].null_count]
        if lacking:
            raise ConfigError(f"rows of sounds lack their {', '.join(lacking)}: `v2a verify` says which are damaged")
        sizes, count = self._sizes, table.num_rows
        latents = [self._latents(item) for item in _present(arrays.read_vector_lists(table["latents"]))]
        curves = [self._curve(item) for item in _present(arrays.read_vector_lists(table["curve"]))]
        conditions = _present(arrays.read_vectors(table["clap_embedding"]))
        frames = np.ceil(table["duration_s"].to_numpy() / sizes.frame_s - 1e-6)
        found: dict[str, npt.NDArray[np.generic]] = {
            "latents": np.array(latents, np.float16).reshape(
                count, sizes.latent_channels, self.frames, sizes.latent_bins
            ),
            "condition": np.array(conditions, np.float32).reshape(count, sizes.condition_dim),
            "curve": np.array(curves, np.float16).reshape(count, _FOLLOWED, self.frames * self._stride),
            "frames": np.clip(frames, 1, self.frames).astype(np.int64),
        }
        return found

    def _latents(self, item: Array) -> Array:
        """(C, H, W)."""
        channels, bins = self._sizes.latent_channels, self._sizes.latent_bins
        if item.shape[1] != channels * bins:
            raise ConfigError(f"the latents have {item.shape[1]} numbers a frame, the generator's {channels * bins}")
        padded = np.pad(item[: self.frames], ((0, max(0, self.frames - len(item))), (0, 0)), mode="edge")
        turned: Array = padded.reshape(self.frames, channels, bins).transpose(1, 0, 2)
        return turned

    def _curve(self, item: Array) -> Array:
        """(2, F)."""
        values = self.frames * self._stride
        padded: Array = np.pad(item[:values, :_FOLLOWED], ((0, max(0, values - len(item))), (0, 0))).T
        return padded


def _present(items: list[ItemT | None]) -> list[ItemT]:
    return [item for item in items if item is not None]
