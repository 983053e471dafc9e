"""From segments to the conditions of their sounds: by a mapper, by none, or through text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from ray.data import Dataset

from v2a_core import captioners
from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import ConfigError
from v2a_core.encoders.config import EncoderSettings
from v2a_core.mappers.choice import check_mapper, load_condition_mapper, unlike_training
from v2a_core.mappers.config import SamplingSettings
from v2a_core.mappers.none import NO_MAPPER
from v2a_core.models import Bundle, LocalBundle
from v2a_core.stages import caption, reuse
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.embed import embed_timed
from v2a_core.stages.follow import Following
from v2a_core.stages.map import map_conditions
from v2a_core.stages.predict import predict_curves
from v2a_core.timing import predictors
from v2a_core.timing.predictors.config import PredictorSettings
from workflows.cluster_runtime.pools import Pools, device
from workflows.generate.config import GenerateJob
from workflows.streaming.chain import SeeSettings, decode, see, segments_at_once
from workflows.streaming.job import Models
from workflows.streaming.plan import Planned
from workflows.streaming.stages import ActorStage, run_actors


@dataclass(frozen=True)
class Mapped:
    """Conditions come from a mapper.

    Attributes:
        mapper: Its folder or URI, or `none`.
        fingerprint: For manifests and metadata: sha256 of its weights, or `none`.
    """

    mapper: str
    fingerprint: str


@dataclass(frozen=True)
class ThroughText:
    """Conditions come from texts.

    Attributes:
        via: Where the texts come from.
        fingerprint: For manifests and metadata: that, and what writes them.
        captioner: Settings of the captioner that writes them; None: they are in the catalog.
    """

    via: str
    fingerprint: str
    captioner: CaptionerSettings | None = None
    mapper: None = None


Origin = Mapped | ThroughText


def check(mapper: str | None, embeddings: str | None, job: GenerateJob, beside: str | None = None) -> None:
    """Refuse what contradicts itself, before anything loads.

    Raises:
        ConfigError: Naming the options.
    """
    if job.via_text == "off" and mapper is None:
        raise ConfigError(
            "give --mapper URI (what `v2a train` wrote), --mapper none (CLIP straight into the generator) or --via-text"
        )
    if job.via_text != "off" and mapper not in (None, NO_MAPPER):
        raise ConfigError(f"--via-text {job.via_text} uses no mapper: leave --mapper {mapper} out")
    if job.via_text != "off" and embeddings:
        raise ConfigError(f"--via-text {job.via_text} does not look at embeddings: leave --embeddings out")
    if beside and not embeddings:
        raise ConfigError("--beside has columns for the embeddings of --embeddings: give these, too")


def choose(mapper: str | None, job: GenerateJob, local: LocalBundle) -> Origin:
    """What makes the conditions, after `check`.

    Raises:
        ConfigError: For a mapper between other spaces than the bundle's, or weights that cannot be had.
    """
    if job.via_text != "off":
        if job.captions:
            job.captioner.check()
            return ThroughText(job.via_text, f"text:{job.via_text}:{job.captioner.fingerprint()}", job.captioner)
        return ThroughText(job.via_text, f"text:{job.via_text}")
    mapper = mapper or NO_MAPPER
    fingerprint = check_mapper(mapper, job.sampling, local)
    unlike = unlike_training(mapper, job.segments, job.frames)
    if unlike:
        print(f"generate: {unlike}", file=sys.stderr, flush=True)  # beside the plan of a dry run, not in it
    return Mapped(mapper, fingerprint)


def make(
    planned: Planned,
    job: GenerateJob,
    models: Models,
    origin: Origin,
    followed: Following | None,
    reusable: reuse.Reusable,
    pools: Pools,
) -> Dataset:
    """Segments with their conditions, and with their curves where these are predicted, a row each.

    Args:
        planned: What is to be done.
        job: The configuration.
        models: The models.
        origin: What makes the conditions.
        followed: What the soundtracks follow in time.
        reusable: What `v2a embed` has seen of the planned sources.
        pools: Workers.
    """
    bundle, local = models.bundle, models.local
    predictor = followed.predictor if followed else None
    settings = DecodeSettings(
        job.segments,
        followed.frames(job.frames) if followed else job.frames,
        job.decoder,
        local.media_spec(),
        want_audio=False,
        timed_pixels=predictor is not None and predictor.sees,
    )
    if isinstance(origin, ThroughText):
        watching = WatchStage(bundle, job.encoders, predictor) if predictor else None
        return _tell(planned, settings, watching, TextStage(bundle, origin.via, origin.captioner), pools)
    seeing = SeeSettings(settings, bundle, local.vision_dim, job.encoders)
    return see(planned, seeing, reusable, MapStage(bundle, origin.mapper, job.sampling, job.seed, predictor), pools)


def _tell(
    planned: Planned,
    settings: DecodeSettings,
    watching: WatchStage | None,
    text: TextStage,
    pools: Pools,
) -> Dataset:
    """Segments with the conditions of texts, and with curves where something watches."""
    # One frame a segment: the one that is captioned, and the proof that there is a picture.
    settings = replace(settings, frames=settings.frames.model_copy(update={"max_frames": 1}))
    data = decode(planned, settings, pools)
    if watching is not None:
        batch = segments_at_once(settings, pools.segments_per_batch)
        data = run_actors(data, watching, pools, batch_size=batch, gpu="beside")
    return run_actors(data, text, pools, batch_size=pools.segments_per_batch, gpu="beside")


@dataclass(frozen=True)
class MapStage(ActorStage):
    """Segments with frame embeddings in, with conditions out; an actor holds the mapper, and what predicts curves."""

    bundle: Bundle
    mapper: str
    sampling: SamplingSettings | None
    seed: int
    predictor: PredictorSettings | None

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the mapper, and the predictor where there is one."""
        mapper, settings = load_condition_mapper(self.mapper, device(), self.sampling), self.predictor
        if settings is None:
            return lambda batch: map_conditions(batch, mapper, self.seed)
        predictor = predictors.build(settings, self.bundle.resolve(), device())
        return lambda batch: predict_curves(map_conditions(batch, mapper, self.seed), predictor, settings.sees)


@dataclass(frozen=True)
class WatchStage(ActorStage):
    """Decoded segments in, with curves out; an actor holds the predictor, and the encoder that it looks through."""

    bundle: Bundle
    encoders: EncoderSettings
    predictor: PredictorSettings

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the predictor, and the vision encoder where it is needed."""
        from v2a_core import encoders

        local, sees = self.bundle.resolve(), self.predictor.sees
        predictor = predictors.build(self.predictor, local, device())
        if not sees:
            return lambda batch: predict_curves(batch, predictor, sees)
        encoder = encoders.build_vision(local, self.encoders, device())
        size = encoder.image_size
        return lambda batch: predict_curves(embed_timed(batch, encoder, size), predictor, sees)


@dataclass(frozen=True)
class TextStage(ActorStage):
    """Decoded segments in, with the conditions of their texts out.

    An actor holds CLAP's text branch, and the captioner when one writes the texts.
    """

    bundle: Bundle
    via: str
    captioner: CaptionerSettings | None

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load what embeds texts, and what writes them."""
        from v2a_core.generators import load_text_encoder

        encoder, texts = load_text_encoder(self.bundle.resolve(), device()), self._texts()
        return lambda batch: caption.text_conditions(batch, texts(batch), encoder)

    def _texts(self) -> Callable[[pa.Table], Sequence[str | None]]:
        """What gives the texts of a batch."""
        if self.captioner is None:
            return lambda batch: caption.texts_of_catalog(batch, self.via)
        captioner = captioners.build(self.captioner, device())
        image_size = self.bundle.resolve().media_spec().image_size
        return lambda batch: caption.texts_of_frames(batch, captioner, image_size)
