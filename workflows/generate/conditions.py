"""From segments to the conditions of their sounds: by a mapper, by none, or through text."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import ConfigError
from v2a_core.mappers.choice import NO_MAPPER, check_mapper, load_condition_mapper, unlike_training
from v2a_core.mappers.config import SamplingSettings
from v2a_core.models import Bundle, LocalBundle
from v2a_core.stages import caption
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.map import map_conditions
from workflows.cluster_runtime.pools import Pools, Worker, device
from workflows.generate.config import GenerateJob
from workflows.streaming import chain as pipeline


def check(mapper: str | None, embeddings: str | None, job: GenerateJob) -> None:
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


def origin(mapper: str | None, job: GenerateJob, local: LocalBundle) -> str:
    """What makes the conditions, for manifests and metadata: sha256 of a mapper's weights, or a name.

    Raises:
        ConfigError: For a mapper between other spaces than the bundle's, or weights that cannot be had.
    """
    if job.via_text == "blip":
        from v2a_core.captioners.blip import captioner_fingerprint

        return f"text:blip:{captioner_fingerprint(job.captioner)}"
    if job.via_text != "off":
        return f"text:{job.via_text}"
    fingerprint = check_mapper(mapper or NO_MAPPER, job.sampling, local)
    unlike = unlike_training(mapper or NO_MAPPER, job.segments, job.frames)
    if unlike:
        print(f"generate: {unlike}", file=sys.stderr, flush=True)  # beside the plan of a dry run, not in it
    return fingerprint


def make(
    planned: Sequence[pipeline.PlannedSource],
    job: GenerateJob,
    bundle: Bundle,
    local: LocalBundle,
    mapper: str | None,
    parts: Mapping[str, Sequence[str]],
    pools: Pools,
) -> Dataset:
    """Segments with their conditions, a row each.

    Args:
        planned: What is to be done.
        job: The configuration.
        bundle: The models.
        local: The same, on this machine.
        mapper: Folder or URI of a mapper, or `none`.
        parts: What `v2a embed` has seen: source ids by file.
        pools: Workers.
    """
    if job.via_text != "off":
        return _through_text(planned, job, bundle, local, pools)
    settings = DecodeSettings(job.segments, job.frames, job.decoder, local.media_spec(), want_audio=False)
    data = pipeline.see(planned, settings, bundle, local.vision_dim, job.encoders, pools, parts)
    stage = {"mapper": mapper, "sampling": job.sampling, "seed": job.seed, "worker": pools.worker}
    return data.map_batches(
        MapStage,
        fn_constructor_kwargs=stage,
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus / 2,
        num_gpus=pools.actor_gpus / 8,
        compute=ActorPoolStrategy(size=pools.actors),
    )


def _through_text(
    planned: Sequence[pipeline.PlannedSource], job: GenerateJob, bundle: Bundle, local: LocalBundle, pools: Pools
) -> Dataset:
    # One frame a segment: the one that is captioned, and the proof that there is a picture.
    frames = job.frames.model_copy(update={"max_frames": 1})
    settings = DecodeSettings(job.segments, frames, job.decoder, local.media_spec(), want_audio=False)
    data = pipeline.decode(pipeline.dataset(planned, pools.sources_per_block), settings, pools)
    return data.map_batches(
        TextStage,
        fn_constructor_kwargs={
            "bundle": bundle,
            "via": job.via_text,
            "captioner": job.captioner,
            "worker": pools.worker,
        },
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus,
        num_gpus=pools.actor_gpus / 4,
        compute=ActorPoolStrategy(size=pools.actors),
    )


class MapStage:
    """An actor that holds the mapper."""

    def __init__(self, mapper: str, sampling: SamplingSettings | None, seed: int, worker: Worker) -> None:
        worker.set_up_model()
        self._seed = seed
        self._mapper = load_condition_mapper(mapper, device(), sampling)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Map a batch of segments."""
        return map_conditions(batch, self._mapper, self._seed)


class TextStage:
    """An actor that holds CLAP's text branch, and BLIP when it writes the texts."""

    def __init__(self, bundle: Bundle, via: str, captioner: CaptionerSettings, worker: Worker) -> None:
        from v2a_core.generators import load_text_encoder

        worker.set_up_model()
        local = bundle.resolve()
        self._encoder = load_text_encoder(local, device())
        self._via, self._image_size = via, local.media_spec().image_size
        self._captioner: Any = None
        if via == "blip":
            from v2a_core.captioners.blip import BlipCaptioner

            self._captioner = BlipCaptioner(captioner, device())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the text of a batch of segments."""
        if self._captioner is None:
            texts = caption.texts_of_catalog(batch, self._via)
        else:
            texts = caption.texts_of_frames(batch, self._captioner, self._image_size)
        return caption.text_conditions(batch, texts, self._encoder)
