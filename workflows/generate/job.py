"""`v2a generate`: a catalog and a mapper -> soundtracks, videos with sound, an index in Parquet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from ray.data import Dataset

from v2a_core import storage
from v2a_core.catalog.apart import check_apart
from v2a_core.generators import check_settings, tell_doubt
from v2a_core.mappers.choice import canonical_mapper
from v2a_core.models import check_spaces
from v2a_core.outputs.ledger import Ledger, index_ledger
from v2a_core.protocols import JSON
from v2a_core.stages import reuse
from v2a_core.stages.finish import FinishJob, Marks
from v2a_core.stages.follow import Following, ToFollow, choose
from v2a_core.stages.gather import soundtracks_schema
from v2a_core.stages.prompts import said_otherwise
from v2a_core.tables.schema import INDEX_FOLDER, index_schema
from v2a_core.version import __version__
from workflows.cluster_runtime.pools import Pools
from workflows.command.arguments import AskedOfCatalog
from workflows.generate import conditions
from workflows.generate.config import GenerateJob
from workflows.generate.sound import FinishStage, GatherStage, GenerateStage, sound_identity, soundtrack_job
from workflows.streaming.catalog_job import CatalogJob, run_catalog
from workflows.streaming.chain import in_blocks_of
from workflows.streaming.job import Identity, Models, Plan, Request, Rows
from workflows.streaming.listing import Listing
from workflows.streaming.plan import Planned
from workflows.streaming.stages import run_actors, run_tasks
from workflows.streaming.summary import Tally

# UNet, VAE and vocoder are parts of generate.
STAGES = ("decode", "vision", "map", "generate", "unet", "vae", "vocoder", "finish")
_NOTHING = ToFollow()


def run(
    catalog: Sequence[str],
    output: str,
    job: GenerateJob,
    *,
    mapper: str | None = None,
    embeddings: str | None = None,
    beside: str | None = None,
    to_follow: ToFollow = _NOTHING,
    **asked: Unpack[AskedOfCatalog],
) -> dict[str, Any]:
    """Make the soundtracks that are not made yet.

    Args:
        catalog: Files, folders, globs, prefixes, shards or tables.
        output: Folder or URI: `audio/`, `video/`, `index/`, manifest and summary.
        job: The configuration.
        mapper: Folder or URI of an exported mapper; `none` for CLIP straight into the generator.
        embeddings: What `v2a embed` wrote for this catalog, or a part of it: those sources are not decoded.
        beside: What `v2a embed --beside` wrote for these: its columns are read in place of theirs.
        to_follow: A curve that every soundtrack follows in time, and the adapter for it, or for predicted curves.
        asked: Models, limit, dry run, ..., as `AskedOfCatalog` says.

    Returns:
        The summary, as written to `summary.json`.

    Raises:
        ConfigError: Wrong configuration, an empty catalog, a mapper of other spaces, a curve that cannot be followed,
            or an output made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched, or their files not written; the next run tries them again.
    """
    check_apart(catalog, output)
    conditions.check(mapper, embeddings, job, beside)
    to_follow.check(job.timing)
    # Workers do not stand where the command was given.
    output, mapper = storage.canonical(output), mapper and canonical_mapper(mapper)
    seen, to_follow = _seen(embeddings, beside), to_follow.canonical()
    request = Request(output, **asked)

    def opened(models: Models, listing: Listing) -> Generation:
        check_settings(models.local, job.generator)
        made_from = conditions.choose(mapper, job, models.local)
        followed = choose(to_follow, models.local, job)
        return Generation(models, job, listing, output, made_from, followed, seen)

    return run_catalog(request, Generation.name, catalog, job, opened)


def _seen(embeddings: str | None, beside: str | None) -> reuse.Seen | None:
    return reuse.Seen(storage.canonical(embeddings), beside and storage.canonical(beside)) if embeddings else None


@dataclass(frozen=True)
class Generation(CatalogJob):
    """Sources become soundtracks.

    Attributes:
        output: Folder or URI of the run.
        made_from: What makes the conditions.
        followed: What the soundtracks follow in time; None: nothing.
        seen: What `v2a embed` wrote for the catalog, or a part of it.
    """

    name: ClassVar[str] = "generate"
    stage_columns: ClassVar[Mapping[str, str]] = {stage: f"{stage}_s" for stage in STAGES}
    model_stages: ClassVar[int] = 2  # what sees and maps, and the generator
    settings: GenerateJob
    output: str
    made_from: conditions.Origin
    followed: Following | None
    seen: reuse.Seen | None

    def identity(self) -> Identity:
        """All that a soundtrack depends on."""
        local, job = self.models.local, self.settings
        fingerprints = local.fingerprints()
        content = {
            "seed": job.seed,
            "segments": job.segments.model_dump(),
            "frames": job.frames.model_dump(),
            "sampling": job.sampling.model_dump() if job.sampling else None,
            **sound_identity(job, self.followed),
            "finish": job.finish.model_dump(),
            "models": {"vision": fingerprints["vision"], "generator": fingerprints["generator"]},
            "mapper": self.made_from.fingerprint,
            "captioner": job.captioner.deciding() if job.captions else None,
        }
        return Identity(content, {"vision": local.vision_space, "audio": local.audio_space})

    def rows(self) -> Rows:
        """A row a source, written when its files are there."""
        timing = self._predicts
        return Rows(INDEX_FOLDER, index_schema(timing), soundtracks_schema(timing), "source_id", index_ledger)

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[Planned]:
        """The sources without a row; what was made with other words is told, and unfit embeddings are refused."""
        plan, job = super().plan(ledger, tally), self.settings
        if self.listing.sources.says("prompt", "negative_prompt"):
            self._tell_changed_words()
        if self.seen:
            frames = self.followed.frames(job.frames) if self.followed else job.frames
            reuse.check(self.seen, self.models.local.vision_space, job.segments, frames)
        return plan

    def check_start(self) -> None:
        """The generator hears in the space that the mapper speaks."""
        check_spaces(self.models.local)
        tell_doubt(self.models.local)

    def chain(self, items: Planned, output: str, pools: Pools) -> Dataset:
        """Conditions, gathered by source, then sounds, then files."""
        job, models = self.settings, self.models
        data = conditions.make(items, job, models, self.made_from, self.followed, self._reusable(items), pools)
        # One actor sees all segments, so that it knows when a source is whole: it holds their conditions, no media.
        batch = pools.segments_per_batch
        data = run_actors(data, GatherStage(), pools, batch_size=batch, cpus=pools.gather_cpus, gpu=None, actors=1)
        # A task gives its sounds on when it ends: with more than a batch in a task, finishing would begin late.
        batch = pools.soundtracks_per_batch
        data = in_blocks_of(data, batch, pools)
        sound = soundtrack_job(job, self.followed)
        stage = GenerateStage(models.bundle, job.generator, job.encoders, sound, self.followed)
        data = run_actors(data, stage, pools, batch_size=batch)
        # Encoding and uploading run in CPU tasks of their own: the generator never waits for them.
        finishing = FinishJob(output, job.finish, self._marks(), job.seed, job.decoder)
        return run_tasks(data, FinishStage(finishing), pools, batch_size=1)

    def tell(self, output: str) -> dict[str, JSON]:
        """The bundle, what made the conditions, and what was followed."""
        return {**super().tell(output), "mapper": self.made_from.mapper, **self.shown()}

    def shown(self) -> dict[str, JSON]:
        """What is followed, and by which adapter."""
        followed = self.followed
        if followed is None:
            return {}
        timing = {"timing": dict(followed.predicts)} if followed.predictor else {}
        return {"adapter": followed.fingerprint, **timing}

    def _reusable(self, items: Planned) -> reuse.Reusable:
        found = reuse.find(self.seen, items.ids) if self.seen else reuse.Reusable({})
        if found.unmatched and self.seen:
            print(
                f"generate: {found.unmatched} sources of {self.seen.embeddings} are not in {self.seen.beside}: they "
                "are decoded",
                file=sys.stderr,
                flush=True,
            )
        return found

    @property
    def _predicts(self) -> bool:
        return self.followed is not None and self.followed.predictor is not None

    def _marks(self) -> Marks:
        """What every file says of itself."""
        program, bundle = f"v2a {__version__}", self.models.local.name
        return {"ai_generated": True, "program": program, "bundle": bundle, "mapper": self.made_from.fingerprint}

    def _tell_changed_words(self) -> None:
        job, sources = self.settings, self.listing.sources
        ids = sources.ids(job.segments, job.frames)
        names = said_otherwise(storage.join(self.output, INDEX_FOLDER), sources, ids, job.text)
        if names:
            print(
                f"generate: {len(names)} finished sources were made with other prompts than the catalog has now, such "
                f"as {names[0]!r}: they are kept as they are; another --output makes them anew",
                flush=True,
            )
