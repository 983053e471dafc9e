"""`v2a embed`: a catalog of videos and images -> embeddings in Parquet, a row a segment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import pyarrow as pa
from ray.data import Dataset

from v2a_core.catalog.apart import check_apart
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle, check_spaces
from v2a_core.outputs.ledger import embeddings_ledger
from v2a_core.protocols import CURVE_HZ, JSON
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.embed import embed_audio
from v2a_core.tables.rows import TRANSIT
from v2a_core.tables.schema import ROWS_FOLDER, embeddings_schema
from workflows.cluster_runtime.pools import Pools, device
from workflows.command.arguments import AskedOfCatalog
from workflows.embed.config import EmbedJob
from workflows.streaming.catalog_job import CatalogJob, run_catalog
from workflows.streaming.chain import VisionStage, decode, segments_at_once
from workflows.streaming.job import Identity, Models, Request, Rows
from workflows.streaming.listing import Listing
from workflows.streaming.plan import Planned
from workflows.streaming.stages import ActorStage, run_actors


def run(catalog: Sequence[str], output: str, job: EmbedJob, **asked: Unpack[AskedOfCatalog]) -> dict[str, Any]:
    """Embed what is not embedded yet.

    Args:
        catalog: Files, folders, globs, prefixes, shards or tables.
        output: Folder or URI of the embeddings; what it holds already is not done again.
        job: The configuration.
        asked: Models, limit, dry run, ..., as `AskedOfCatalog` says.

    Returns:
        The summary, as written to `summary.json`.

    Raises:
        ConfigError: Wrong configuration, an empty catalog, or an output that was made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched; the next run tries them again.
    """
    check_apart(catalog, output)
    request = Request(output, **asked)
    return run_catalog(request, Embedding.name, catalog, job, functools.partial(_open, job))


def _open(job: EmbedJob, models: Models, listing: Listing) -> Embedding:
    return Embedding(models, job, listing)


@dataclass(frozen=True)
class Embedding(CatalogJob):
    """Frames and sound of segments become embeddings."""

    name: ClassVar[str] = "embed"
    stage_columns: ClassVar[Mapping[str, str]] = {"decode": "decode_s", "vision": "vision_s", "audio": "audio_s"}
    settings: EmbedJob

    def identity(self) -> Identity:
        """How sources are cut and seen, and both encoders."""
        local, job = self.models.local, self.settings
        fingerprints = local.fingerprints()
        content: dict[str, JSON] = {
            "segments": job.segments.model_dump(),
            "frames": job.frames.model_dump(),
            "vision": fingerprints["vision"],
            "audio": fingerprints["audio"],
        }
        if job.frames.timing_fps:
            content["timing"] = {"curve_hz": CURVE_HZ}  # beside the denser frames is said what is heard over time
        return Identity(content, {"vision": local.vision_space, "audio": local.audio_space})

    def rows(self) -> Rows:
        """A row a segment."""
        local = self.models.local
        schema = embeddings_schema(local.vision_dim, timing=self.settings.frames.timing_fps > 0)
        spaces = {"vision_space": local.vision_space, "audio_space": local.audio_space}
        return Rows(ROWS_FOLDER, schema, TRANSIT, "segment_id", embeddings_ledger, spaces)

    def check_start(self) -> None:
        """What hears is what the generator was trained with: else all of the catalog would be embedded in vain."""
        check_spaces(self.models.local)

    def chain(self, items: Planned, output: str, pools: Pools) -> Dataset:
        """Decode, then embed frames and sound."""
        job, models = self.settings, self.models
        settings = DecodeSettings(job.segments, job.frames, job.decoder, models.local.media_spec(), want_audio=True)
        data = decode(items, settings, pools)
        stage = EncodeStage(models.bundle, job.encoders, settings.embeds_timed)
        return run_actors(data, stage, pools, batch_size=segments_at_once(settings, pools.segments_per_batch))


@dataclass(frozen=True)
class EncodeStage(ActorStage):
    """Segments with pixels and samples in, with embeddings out; an actor holds both encoders.

    An actor for each would load Ray, torch and torchvision twice, and frames would wait while sound is embedded
    elsewhere on the same cores. A GPU takes both in its stride: it is decoding that a job waits for.
    """

    bundle: Bundle
    settings: EncoderSettings
    timing: bool

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load both encoders."""
        from v2a_core import encoders

        local = self.bundle.resolve()
        see = VisionStage(self.bundle, self.settings, self.timing).load()
        ears, spec = encoders.build_audio(local, self.settings, device()), local.media_spec()
        return lambda batch: embed_audio(see(batch), ears, spec)
