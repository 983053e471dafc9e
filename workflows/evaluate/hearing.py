"""The stages of extractors with folders of their own that hold a model: sounds are heard, videos are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.encoders.config import EncoderSettings
from v2a_core.metrics.extractors.folder import HearingExtractor, PairExtractor, WatchingExtractor, Weights
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.models import Bundle
from v2a_core.protocols import AudioEncoder
from v2a_core.stages.pairs import hear_pairs
from v2a_core.stages.sounds import hear_sounds
from v2a_core.stages.watch import watch_films
from workflows.cluster_runtime.pools import device
from workflows.streaming.stages import ActorStage


def load_ears(bundle: Bundle, settings: EncoderSettings, device: str) -> AudioEncoder:
    """The audio encoder of a bundle.

    Args:
        bundle: The models.
        settings: How it runs.
        device: Where.
    """
    from v2a_core.encoders import build_audio

    return build_audio(bundle.resolve(), settings, device)


@dataclass(frozen=True)
class HearSounds(ActorStage):
    """Sounds in, what the extractor finds out; an actor holds it."""

    weights: Weights
    extractor: type[HearingExtractor]
    protocol: Protocol

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the extractor."""
        extractor = self.extractor.opened(self.weights, device())
        return lambda batch: hear_sounds(batch, extractor, self.protocol)


@dataclass(frozen=True)
class HearPairs(ActorStage):
    """Sounds with what was seen of their videos in, what the extractor finds out; an actor holds it."""

    weights: Weights
    extractor: type[PairExtractor]
    protocol: Protocol

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the extractor."""
        extractor = self.extractor.opened(self.weights, device())
        return lambda batch: hear_pairs(batch, extractor, self.protocol)


@dataclass(frozen=True)
class WatchFilms(ActorStage):
    """Frames in, what the extractor finds out; an actor holds it."""

    weights: Weights
    extractor: type[WatchingExtractor]

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the extractor."""
        extractor = self.extractor.opened(self.weights, device())
        return lambda batch: watch_films(batch, extractor)


@dataclass(frozen=True)
class ThroughModels(ActorStage):
    """Sounds in, what comes back of them out; an actor holds VAE and vocoder."""

    bundle: Bundle
    protocol: Protocol

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load both."""
        from v2a_core.stages.round_trip import RoundTrip, through

        trip = RoundTrip(self.bundle.resolve(), device())
        return lambda batch: through(batch, trip, self.protocol)
