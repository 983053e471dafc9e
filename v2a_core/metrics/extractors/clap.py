"""How the bundle's CLAP hears a sound: its embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa

from v2a_core.media.resample import clap_waveform
from v2a_core.media.types import MediaSpec, Pcm
from v2a_core.metrics.extractors import EXTRACTORS
from v2a_core.metrics.extractors.folder import HearingExtractor, Weights
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle, LocalBundle, ModelError
from v2a_core.protocols import AudioEncoder
from v2a_core.tables import arrays
from v2a_core.tables.columns import Column
from v2a_core.tables.schema import EMBEDDING_DIM, FLOATS

CLAP = "clap"


class Clap(HearingExtractor):
    """Embeddings (512, L2-normalised).

    Args:
        encoder: The bundle's audio encoder, loaded.
        spec: What it takes.
    """

    with_silence: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (Column("embedding", FLOATS, "512 numbers of norm 1"),)
    sizes: ClassVar[Mapping[str, int]] = {"embedding": EMBEDDING_DIM}
    joined: ClassVar[tuple[str, ...]] = ("similarity_to_reference",)

    def __init__(self, encoder: AudioEncoder, spec: MediaSpec) -> None:
        self._encoder, self._spec = encoder, spec

    @classmethod
    def missing(cls, name: str) -> str:
        """Nobody asked."""
        return "nothing was heard with CLAP"

    @classmethod
    def check(cls, weights: Weights) -> None:
        """It is loaded by those that hear: bundles are checked before."""

    @classmethod
    def opened(cls, weights: Weights, device: str) -> Self:
        """Load it from this machine's copy of the bundle.

        Raises:
            ModelError: When there is none.
        """
        if weights.bundle is None or weights.ears is None:
            raise ModelError("CLAP is a part of a bundle, and none is given")
        return cls(weights.ears(device), weights.bundle.resolve().media_spec())

    def extract(self, sounds: Sequence[Pcm], protocol: Protocol) -> Mapping[str, pa.Array]:
        """The embedding of each."""
        waves = [clap_waveform(protocol.mono(sound), sound.sample_rate, self._spec) for sound in sounds]
        return {"embedding": arrays.vectors(list(self._encoder.encode(np.stack(waves))), EMBEDDING_DIM)}


def clap_of(bundle: Bundle, models: LocalBundle, ears: Callable[[str], AudioEncoder]) -> Weights:
    """The CLAP of a bundle.

    Args:
        bundle: As workers get it.
        models: The same on this machine.
        ears: Loads its audio encoder on a device, in a worker.
    """
    return Weights(CLAP, models.audio_space, models.fingerprints()["audio"], bundle, ears=ears)


EXTRACTORS.add(CLAP, Clap)
