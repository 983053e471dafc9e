"""The second half of `v2a generate`: gathered sources become waveforms, and waveforms files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from v2a_core.encoders.config import EncoderSettings
from v2a_core.generators.adapters import find_adapter
from v2a_core.generators.config import GeneratorSettings
from v2a_core.models import Bundle
from v2a_core.protocols import JSON
from v2a_core.stages.finish import FinishJob, finish_row
from v2a_core.stages.follow import Following
from v2a_core.stages.gather import SourceGatherer, soundtracks_schema
from v2a_core.stages.generate import SoundtrackJob, SoundtrackMaker
from v2a_core.storage import retrying
from v2a_core.tables import rows
from v2a_core.timing.files import digest
from workflows.cluster_runtime.pools import Worker, device
from workflows.generate.config import GenerateJob
from workflows.streaming.stages import ActorStage

# Columns of many numbers, which finishing has nothing to do with.
_AS_THEY_ARE = ("conditions", "curve")


def soundtrack_job(job: GenerateJob, followed: Following | None) -> SoundtrackJob:
    """What of the job's configuration the sound depends on, beside the generator's."""
    return SoundtrackJob(job.seed, job.join, job.text, job.candidates, followed.curve if followed else None)


def sound_identity(job: GenerateJob, followed: Following | None) -> dict[str, JSON]:
    """The same for a manifest: what must not change between runs into one output."""
    content: dict[str, JSON] = {
        "generator": job.generator.identity(),
        "join": job.join.model_dump(),
        "text": job.text.model_dump(),
        "candidates": job.candidates.model_dump(),
    }
    if followed is None:  # as it was before anything could be followed: such outputs are gone on with
        return content
    steered: dict[str, JSON] = {"adapter": followed.fingerprint, **job.generator.following()}
    if followed.curve is None:
        return {**content, "timing": {"predictor": dict(followed.predicts), **steered}}
    return {**content, "curve": {"digest": digest(followed.curve), **steered}}


@dataclass(frozen=True)
class GatherStage(ActorStage):
    """Segments in, sources out: the actor that brings the segments of a source together."""

    def prepare(self, worker: Worker) -> None:
        """It holds no model."""
        worker.set_up()

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Begin with nothing."""
        return SourceGatherer().add


@dataclass(frozen=True)
class GenerateStage(ActorStage):
    """Gathered sources in, with waveforms out.

    An actor holds the generator, its adapter when a curve is followed, and CLAP's audio tower when candidates are
    ranked.
    """

    bundle: Bundle
    settings: GeneratorSettings
    encoders: EncoderSettings
    job: SoundtrackJob
    followed: Following | None

    def load(self) -> Callable[[pa.Table], Iterator[pa.Table]]:
        """Load the generator."""
        from v2a_core.encoders import build_audio
        from v2a_core.generators import load_generator
        from v2a_core.generators.ranking import Listener

        local, on = self.bundle.resolve(), device()
        listener = None
        if self.job.candidates.count > 1:
            listener = Listener(build_audio(local, self.encoders, on), local.media_spec())
        adapter = find_adapter(self.followed.adapter, local) if self.followed else None
        generator = load_generator(local, self.settings, on, adapter)
        return SoundtrackMaker(generator, self.job, listener).make


@dataclass(frozen=True)
class FinishStage:
    """Waveforms in, files out, and their rows of the index."""

    job: FinishJob

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode and upload the files of a batch of sources."""
        finished = []
        kept = [name for name in batch.column_names if name not in _AS_THEY_ARE]
        for row in batch.select(kept).to_pylist():
            before = retrying.traffic()
            finished.append(rows.with_traffic(finish_row(row, self.job), retrying.traffic().since(before)))
        schema = soundtracks_schema("curve" in batch.column_names)
        table = pa.Table.from_pylist(finished, schema=schema).drop_columns(["waveform", "losers"])
        return rows.replace(table, {name: batch[name] for name in _AS_THEY_ARE if name in batch.column_names})
