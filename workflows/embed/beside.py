"""`v2a embed --beside`: what embeddings lack of another encoder's columns, into an output of its own."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import numpy as np
import pyarrow as pa
from ray.data import Dataset

from v2a_core import storage
from v2a_core.catalog.apart import check_apart
from v2a_core.compute.ids import Flags, Ids
from v2a_core.config import ConfigError
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import Ledger, embeddings_ledger
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.sidecar import JOB, Looked, groups_added
from v2a_core.protocols import CURVE_HZ, JSON
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.embed import embed_beside
from v2a_core.storage.public import public
from v2a_core.tables.beside import FRAMES, HEARD, TIMED, beside_schema, columns_of
from v2a_core.tables.rows import TRANSIT
from v2a_core.tables.schema import ROWS_FOLDER
from workflows.cluster_runtime.pools import Pools, device
from workflows.command.arguments import AskedOfCatalog
from workflows.embed.config import EmbedJob
from workflows.streaming.catalog_job import CatalogJob, run_catalog, tell_replaced
from workflows.streaming.chain import decode, segments_at_once
from workflows.streaming.job import Identity, Models, Plan, Request, Rows
from workflows.streaming.listing import Listing
from workflows.streaming.plan import Names, Planned
from workflows.streaming.stages import ActorStage, run_actors
from workflows.streaming.summary import Tally


def run(
    catalog: Sequence[str], embeddings: str, output: str, job: EmbedJob, **asked: Unpack[AskedOfCatalog]
) -> dict[str, Any]:
    """Embed of segments that are embedded what they lack.

    Args:
        catalog: What the embeddings were made from, or a part of it.
        embeddings: Folder or URI that `v2a embed` wrote; it is only read.
        output: Folder or URI of the sidecar; what it holds already is not done again.
        job: The configuration: segments and frames as the embeddings have them.
        asked: Models, limit, dry run, ..., as `AskedOfCatalog` says.

    Returns:
        The summary, as written to `summary.json`.

    Raises:
        ConfigError: Wrong configuration, embeddings of other segments, nothing to add, a catalog of which the
            embeddings hold nothing, or an output that was made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched; the next run tries them again.
    """
    check_apart(catalog, output)
    request = Request(output, **asked)
    return run_catalog(request, JOB, catalog, job, functools.partial(_open, storage.canonical(embeddings), job))


def _open(embeddings: str, job: EmbedJob, models: Models, listing: Listing) -> EmbeddingBeside:
    local, base = models.local, manifest.read(embeddings, job="embed")
    looked = Looked.by(job.segments.model_dump(), job.frames.model_dump(), local.vision.fingerprint, local.vision_space)
    return EmbeddingBeside(models, job, listing, embeddings, base, groups_added(base, embeddings, looked))


@dataclass
class _Counts:
    """Sources of the catalog that are not looked at, and why.

    Attributes:
        absent: The embeddings have no row of them in this version, or not yet all.
        rejected: The embeddings have no good row of them, or the listing itself cannot make anything of them.
    """

    absent: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class EmbeddingBeside(CatalogJob):
    """Frames of segments that are embedded become columns beside them.

    Attributes:
        embeddings: Folder or URI.
        base: Their manifest.
        groups: The groups of columns that they lack.
    """

    name: ClassVar[str] = JOB
    stage_columns: ClassVar[Mapping[str, str]] = {"decode": "decode_s", "vision": "vision_s"}
    settings: EmbedJob
    embeddings: str
    base: Manifest
    groups: tuple[str, ...]
    counts: _Counts = dataclasses.field(default_factory=_Counts)

    def identity(self) -> Identity:
        """What it lies beside, how sources are cut and seen, and what sees."""
        local, job = self.models.local, self.settings
        content: dict[str, JSON] = {
            "beside": {
                "output_id": self.base["output_id"],
                "identity": manifest.identity_digest(self.base),
                "columns": list(self.groups),
            },
            "segments": job.segments.model_dump(),
            "frames": job.frames.model_dump(),
            "vision": local.vision.fingerprint,
        }
        if HEARD in self.groups:
            content["timing"] = {"curve_hz": CURVE_HZ}
        return Identity(content, {"vision": local.vision_space})

    def rows(self) -> Rows:
        """A row a segment."""
        local = self.models.local
        schema = beside_schema(self.groups, local.vision_dim)
        return Rows(ROWS_FOLDER, schema, TRANSIT, "segment_id", embeddings_ledger, {"vision_space": local.vision_space})

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[Planned]:
        """The sources that the embeddings hold, and the sidecar does not."""
        sources, job = self.listing.sources, self.settings
        ids = sources.ids(job.segments, job.sampled)
        wanted = np.flatnonzero(self._embedded(embeddings_ledger(storage.join(self.embeddings, ROWS_FOLDER)), ids))
        if not len(wanted):
            raise ConfigError(
                f"{public(self.embeddings)} has no good row of any of the {self.listing.count} sources of the catalog: "
                "give the catalog that it was made from, or embed these first, into another output or without --beside"
            )
        left = wanted[ledger.unfinished(ids[wanted])]
        planned = Planned(sources, left, ids[left], ledger.partial)
        tally.plan(len(wanted), len(planned), ledger)
        tally.expect(planned.ids, Names(planned))
        if ledger.rows:
            tally.good_before = ledger.good_among(ids[wanted])
            tell_replaced(tally, ledger, planned.keys(), planned.ids)
        return Plan(planned, self.rows().table([]))

    def chain(self, items: Planned, output: str, pools: Pools) -> Dataset:
        """Decode, then embed frames; of the sound at most its level is taken."""
        settings = self._decoding()
        data = decode(items, settings, pools)
        stage = LookStage(self.models.bundle, self.settings.encoders, self.groups)
        return run_actors(data, stage, pools, batch_size=segments_at_once(settings, pools.segments_per_batch))

    def shown(self) -> dict[str, JSON]:
        """What it lies beside, what it adds, and what of the catalog is not there."""
        return {"beside": self._told()}

    def tell(self, output: str) -> dict[str, JSON]:
        """The same."""
        return {**super().tell(output), **self.shown()}

    def _told(self) -> dict[str, JSON]:
        return {
            "embeddings": public(self.embeddings),
            "columns": list(columns_of(self.groups)),
            "sources_not_embedded": self.counts.absent,
            "sources_rejected_there": self.counts.rejected,
        }

    def _embedded(self, base: Ledger, ids: Ids) -> Flags:
        """Which sources have good rows in the embeddings; the others are counted, and told."""
        usable = base.usable(ids)
        complete = np.ones(len(ids), bool)
        complete[base.unfinished(ids)] = False
        counts = self.counts
        counts.absent = int(np.count_nonzero(~complete))
        counts.rejected = int(np.count_nonzero(complete & ~usable)) + len(self.listing.rejects)
        if counts.absent:
            print(
                f"{self.name}: {counts.absent} of {self.listing.count} sources of the catalog are not in "
                f"{public(self.embeddings)} in this version: embed them there, then run this again",
                file=sys.stderr,
                flush=True,
            )
        return usable

    def _decoding(self) -> DecodeSettings:
        job, timed = self.settings, TIMED in self.groups
        frames = job.frames if timed else job.frames.seen
        if FRAMES not in self.groups:
            frames = frames.model_copy(update={"max_frames": 1})  # the proof that there is a picture
        spec, hears = self.models.local.media_spec(), HEARD in self.groups
        return DecodeSettings(job.segments, frames, job.decoder, spec, want_audio=hears, timed_pixels=timed)


@dataclass(frozen=True)
class LookStage(ActorStage):
    """Segments with pixels in, with what a sidecar adds out; an actor holds the vision encoder."""

    bundle: Bundle
    settings: EncoderSettings
    groups: tuple[str, ...]

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the encoder."""
        from v2a_core import encoders

        encoder = encoders.build_vision(self.bundle.resolve(), self.settings, device())
        return lambda batch: embed_beside(batch, encoder, encoder.image_size, self.groups)
