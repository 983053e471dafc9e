"""The first half of `v2a train-adapter`: sounds -> what the frozen models make of them, in Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from ray.data import Dataset

from v2a_core.catalog import ShardReader
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle, check_spaces
from v2a_core.outputs.ledger import embeddings_ledger
from v2a_core.protocols import CURVE_HZ, JSON
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.low_sound import with_low_sound
from v2a_core.tables import rows
from v2a_core.tables.lessons import lessons_schema
from v2a_core.tables.schema import ROWS_FOLDER
from workflows.cluster_runtime.pools import Pools, device
from workflows.streaming.blocks import Blocks
from workflows.streaming.catalog_job import CatalogJob
from workflows.streaming.chain import DecodeStage
from workflows.streaming.job import DryRun, Identity, Rows
from workflows.streaming.plan import Planned, PlannedSource, dataset
from workflows.streaming.stages import ActorStage, run_actors, run_tasks
from workflows.train_adapter.config import AdapterJob


@dataclass(frozen=True)
class Hearing(CatalogJob):
    """Segments of sounds become embeddings, latents and curves.

    Attributes:
        latent_numbers: In a frame of the generator's latents.
    """

    name: ClassVar[str] = "hear"
    stage_columns: ClassVar[Mapping[str, str]] = {"decode": "decode_s", "audio": "audio_s"}
    settings: AdapterJob
    latent_numbers: int

    def identity(self) -> Identity:
        """How sounds are cut, and what hears them."""
        local = self.models.local
        fingerprints = local.fingerprints()
        content: dict[str, JSON] = {
            "segments": self.settings.segments.model_dump(),
            "audio": fingerprints["audio"],
            "generator": fingerprints["generator"],
            "curve_hz": CURVE_HZ,
        }
        return Identity(content, {"audio": local.audio_space})

    def rows(self) -> Rows:
        """A row a segment."""
        schema = lessons_schema(self.latent_numbers)
        transit = pa.schema([*schema, *(field for field in rows.TRANSIT if field.name not in schema.names)])
        return Rows(ROWS_FOLDER, schema, transit, "segment_id", embeddings_ledger)

    def show(self, dry: DryRun[Planned]) -> dict[str, object]:
        """The job that it is a part of prints it with its own."""
        return self.planned(dry)

    def check_start(self) -> None:
        """What hears is what the generator was trained with."""
        check_spaces(self.models.local)

    def chain(self, items: Planned, output: str, pools: Pools) -> Dataset:
        """Decode, then hear."""
        job, models = self.settings, self.models
        settings = DecodeSettings(
            job.segments, job.sampled, job.decoder, models.local.media_spec(), want_audio=True, native=True
        )
        data = run_tasks(dataset(items, Blocks.of(pools)), ListenStage(settings), pools)
        stage = HearStage(models.bundle, job.encoders, job.segments.length_s)
        return run_actors(data, stage, pools, batch_size=pools.segments_per_batch)


class ListenStage(DecodeStage):
    """Planned sources in, their segments out, with their first channel."""

    def _decode(self, item: PlannedSource, shards: ShardReader) -> Iterator[rows.DecodedRow]:
        return map(with_low_sound, super()._decode(item, shards))


@dataclass(frozen=True)
class HearStage(ActorStage):
    """Segments with samples in, with what is learned from out; an actor holds CLAP and the generator's VAE."""

    bundle: Bundle
    encoders: EncoderSettings
    length_s: float

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load both."""
        from v2a_core.stages.lessons import LessonMaker

        return LessonMaker(self.bundle.resolve(), self.encoders, device(), self.length_s).make
