"""A catalog of videos and images -> the brightness of each segment, in Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import pyarrow as pa
from ray.data import Dataset

from toy_brightness.config import BrightnessSettings
from v2a_core.catalog.apart import check_apart
from v2a_core.outputs.ledger import embeddings_ledger
from v2a_core.stages.decode import DecodeSettings
from v2a_core.tables import rows
from v2a_core.tables.schema import EMBEDDINGS, ROWS_FOLDER
from workflows.cluster_runtime.pools import Pools
from workflows.command.arguments import AskedOfCatalog
from workflows.streaming.catalog_job import CatalogJob, run_catalog
from workflows.streaming.chain import decode
from workflows.streaming.job import Identity, Models, Request, Rows
from workflows.streaming.listing import Listing
from workflows.streaming.plan import Planned
from workflows.streaming.stages import run_tasks

# A row keeps what says where it comes from and how it went, without what models make of it.
_KEPT = [field for field in EMBEDDINGS if not pa.types.is_list(field.type)]
BRIGHTNESS = pa.schema([*_KEPT, pa.field("brightness", pa.float64()), pa.field("dark", pa.bool_())])


def run(
    catalog: Sequence[str], output: str, settings: BrightnessSettings, **asked: Unpack[AskedOfCatalog]
) -> dict[str, Any]:
    """Measure what is not measured yet; `asked`: models, limit, dry run, ..., as `AskedOfCatalog` says."""
    check_apart(catalog, output)

    def opened(models: Models, listing: Listing) -> Brightness:
        return Brightness(models, settings, listing)

    return run_catalog(Request(output, **asked), Brightness.name, catalog, settings, opened)


@dataclass(frozen=True)
class Brightness(CatalogJob):
    """Segments become numbers."""

    name: ClassVar[str] = "brightness"
    stage_columns: ClassVar[Mapping[str, str]] = {"decode": "decode_s"}
    settings: BrightnessSettings

    def identity(self) -> Identity:
        """What a row depends on: another run into the output must have the same."""
        settings = self.settings.model_dump(include={"segments", "frames", "dark"})
        return Identity(settings, {"vision": self.models.local.vision_space})

    def rows(self) -> Rows:
        """A row a segment; a source is done when all of its segments have one."""
        transit = pa.schema([*BRIGHTNESS, *(field for field in rows.TRANSIT if field.name not in BRIGHTNESS.names)])
        return Rows(ROWS_FOLDER, BRIGHTNESS, transit, "segment_id", embeddings_ledger)

    def chain(self, items: Planned, output: str, pools: Pools) -> Dataset:
        """Decode, then look."""
        job, spec = self.settings, self.models.local.media_spec()
        decoded = decode(items, DecodeSettings(job.segments, job.frames, job.decoder, spec, want_audio=False), pools)
        return run_tasks(decoded, LookStage(job.dark, spec.image_size), pools)


@dataclass(frozen=True)
class LookStage:
    """Segments with pixels in, with their brightness out."""

    dark: float
    image_size: int

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Look at a batch of segments; rejected rows pass without numbers."""
        frames = rows.read_frames(batch, self.image_size)
        bright = [None if item is None else float(item.mean()) / 255 for item in frames]
        is_dark = [None if value is None else value < self.dark for value in bright]
        columns = {"brightness": pa.array(bright, pa.float64()), "dark": pa.array(is_dark, pa.bool_())}
        return rows.replace(batch, columns, drop=["frames", "waveform"])
