"""The generator stage of `v2a generate`: gathered sources in, waveforms out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators.config import GeneratorSettings
from v2a_core.models import Bundle
from v2a_core.stages.generate import SoundtrackJob, SoundtrackMaker
from workflows.cluster_runtime.pools import Pools, Worker, device
from workflows.generate.config import GenerateJob


def make_sound(data: Dataset, bundle: Bundle, job: GenerateJob, pools: Pools) -> Dataset:
    """Fill the waveforms of gathered sources."""
    return data.map_batches(
        GenerateStage,
        fn_constructor_kwargs={
            "bundle": bundle,
            "settings": job.generator,
            "encoders": job.encoders,
            "job": soundtrack_job(job),
            "worker": pools.worker,
        },
        batch_size=pools.soundtracks_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus,
        num_gpus=pools.actor_gpus / 2,
        compute=ActorPoolStrategy(size=pools.actors),
    )


def soundtrack_job(job: GenerateJob) -> SoundtrackJob:
    """What of the job's configuration the sound depends on, beside the generator's."""
    return SoundtrackJob(job.seed, job.join, job.text, job.candidates)


def sound_identity(job: GenerateJob) -> dict[str, Any]:
    """The same for a manifest: what must not change between runs into one output."""
    return {
        "generator": job.generator.identity(),
        "join": job.join.model_dump(),
        "text": job.text.model_dump(),
        "candidates": job.candidates.model_dump(),
    }


class GenerateStage:
    """An actor that holds the generator, and CLAP's audio tower when candidates are ranked."""

    def __init__(
        self,
        bundle: Bundle,
        settings: GeneratorSettings,
        encoders: EncoderSettings,
        job: SoundtrackJob,
        worker: Worker,
    ) -> None:
        from v2a_core.encoders.clap import ClapEncoder
        from v2a_core.generators import load_generator
        from v2a_core.generators.ranking import Listener

        worker.set_up_model()
        local, on = bundle.resolve(), device()
        listener = None
        if job.candidates.count > 1:
            listener = Listener(ClapEncoder(local, encoders, on), local.media_spec())
        generator = load_generator(local, settings, on)
        self._maker = SoundtrackMaker(generator, job, listener)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Make the sound of a batch of sources."""
        yield from self._maker.make(batch)
