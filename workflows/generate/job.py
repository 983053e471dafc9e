"""`v2a generate`: a catalog and a mapper -> soundtracks, videos with sound, an index in Parquet."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from v2a_core import storage
from v2a_core.catalog import Source, source_id
from v2a_core.catalog.apart import check_apart
from v2a_core.mappers.choice import canonical_mapper
from v2a_core.models import Bundle, LocalBundle, check_spaces, check_weights, load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import index_ledger
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.stages import reuse
from v2a_core.stages.finish import FinishJob, Marks, finish_row
from v2a_core.stages.gather import SOUNDTRACKS, SourceGatherer
from v2a_core.stages.prompts import said_otherwise
from v2a_core.storage import retrying
from v2a_core.tables import rows
from v2a_core.tables.schema import INDEX, INDEX_FOLDER
from v2a_core.version import __version__
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.pools import Pools, Worker, prepare_data, start_pools
from workflows.generate import conditions
from workflows.generate.config import GenerateJob
from workflows.generate.sound import make_sound, sound_identity
from workflows.streaming import chain as pipeline
from workflows.streaming.estimate import estimate
from workflows.streaming.run import conclude, describe_bundle, list_catalog, plan_work, reach, retry, show_plan, stream
from workflows.streaming.summary import Tally

# UNet, VAE and vocoder are parts of generate.
STAGES = ("decode", "vision", "map", "generate", "unet", "vae", "vocoder", "finish")
STAGE_COLUMNS = {stage: f"{stage}_s" for stage in STAGES}


def run(
    catalog: Sequence[str],
    output: str,
    job: GenerateJob,
    *,
    mapper: str | None = None,
    models: str = "paper",
    embeddings: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    retry_rejects: Sequence[str] = (),
) -> dict[str, Any]:
    """Make the soundtracks that are not made yet.

    Args:
        catalog: Files, folders, globs, prefixes, shards or tables.
        output: Folder or URI: `audio/`, `video/`, `index/`, manifest and summary.
        job: The configuration.
        mapper: Folder or URI of an exported mapper; `none` for CLIP straight into the generator.
        models: A bundle's name or file.
        embeddings: What `v2a embed` wrote for this catalog, or a part of it: those sources are not decoded.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        retry_rejects: Stages whose rejects are tried again.

    Returns:
        The summary, as written to `summary.json`.

    Raises:
        ConfigError: Wrong configuration, an empty catalog, a mapper of other embedding spaces, or an output that was
            made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched, or their files not written; the next run tries them again.
    """
    check_apart(catalog, output)
    conditions.check(mapper, embeddings, job)
    # Workers do not stand where the command was given.
    output, mapper = storage.canonical(output), mapper and canonical_mapper(mapper)
    embeddings = embeddings and storage.canonical(embeddings)
    tally = Tally("generate")
    with reach(catalog, output, job.storage, job.output_storage) as checked:
        bundle = load_bundle(models)
        listing = list_catalog(catalog, job.catalog, limit)
        index = storage.join(output, INDEX_FOLDER)
        manifest.check_own(output, "generate")
        local = bundle.resolve()
        check_weights(local)
        fingerprint = conditions.origin(mapper, job, local)
        mine = _manifest(job, local, fingerprint)
        if retry_rejects and not dry_run:
            retry(output, INDEX_FOLDER, retry_rejects, mine)
        ledger = index_ledger(index)
        plan = plan_work(listing, ledger, tally, job)
        _tell_changed_words(index, listing.sources, job)
        if embeddings:
            reuse.check(embeddings, local.vision_space, job.segments, job.frames)

        def chain(these: Sequence[pipeline.PlannedSource], destination: str, pools: Pools) -> Dataset:
            finishing = FinishJob(destination, job.finish, _marks(local, fingerprint), job.seed, job.decoder)
            parts = reuse.find(embeddings, {item.source_id for item in these}) if embeddings else {}
            return _chain(these, job, bundle, local, mapper, finishing, parts, pools)

        if dry_run:
            connection.connect(address)
            pools = prepare_data(job.pools)
            # Soundtracks of the sample end in the memory of the workers that made them.
            sampled = functools.partial(chain, destination="memory://v2a-dry-run", pools=pools)
            time_needed = estimate(plan.sources, sampled, STAGE_COLUMNS, pools) if plan.sources else None
            return show_plan("generate", output, checked, listing, tally, pools, time_needed)
        manifest.same(output, mine)
        pools_ready = None
        if plan.sources:
            check_spaces(local)
            pools_ready = start_pools(address, job.pools)
        made_by = manifest.open_output(output, mine)
        writer = PartWriter(
            index,
            INDEX,
            id_column="source_id",
            seen=ledger.expected_again(),
            settings=job.output,
            metadata=manifest.part_metadata(made_by),
        )
        data, unfinished = chain(plan.sources, output, pools_ready) if pools_ready else None, Unfinished(output)
        rejected = pa.Table.from_pylist(plan.rejected, schema=SOUNDTRACKS)
        stream("generate", data, rejected, writer, tally, job.limits, STAGE_COLUMNS, unfinished)
        told = {"bundle": local.name, "trained": local.trained, "mapper": mapper}
        return conclude(output, made_by, tally, writer, unfinished, **told)


def _chain(
    planned: Sequence[pipeline.PlannedSource],
    job: GenerateJob,
    bundle: Bundle,
    local: LocalBundle,
    mapper: str | None,
    finishing: FinishJob,
    parts: Mapping[str, Sequence[str]],
    pools: Pools,
) -> Dataset:
    data = conditions.make(planned, job, bundle, local, mapper, parts, pools)
    # One actor sees all segments, so that it knows when a source is whole; it holds a condition a segment, no media.
    data = data.map_batches(
        GatherStage,
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.gather_cpus,
        compute=ActorPoolStrategy(size=1),
    )
    # A task gives its sounds on when it ends: with more than a batch in a task, finishing would begin late.
    data = pipeline.in_blocks_of(data, pools.soundtracks_per_batch, pools)
    data = make_sound(data, bundle, job, pools)
    # Encoding and uploading run in CPU tasks of their own: the generator never waits for them.
    return data.map_batches(
        functools.partial(_finish_batch, job=finishing, worker=pools.worker),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=pools.decode_cpus,
        compute=TaskPoolStrategy(size=pools.decode_tasks),
    )


def _tell_changed_words(index: str, sources: Sequence[Source], job: GenerateJob) -> None:
    if not any(source.prompt or source.negative_prompt for source in sources):
        return
    by_id = {source_id(source, job.segments, job.frames): source for source in sources}
    names = said_otherwise(index, by_id, job.text)
    if names:
        print(
            f"generate: {len(names)} finished sources were made with other prompts than the catalog has now, such as "
            f"{names[0]!r}: they are kept as they are; another --output makes them anew",
            flush=True,
        )


class GatherStage:
    """The actor that brings the segments of a source together."""

    def __init__(self) -> None:
        self._gatherer = SourceGatherer()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Give on the sources that this batch completes."""
        return self._gatherer.add(batch)


def _finish_batch(batch: pa.Table, job: FinishJob, worker: Worker) -> pa.Table:
    worker.set_up()
    finished = []
    for row in batch.drop_columns(["conditions"]).to_pylist():
        before = retrying.traffic()
        finished.append(rows.with_traffic(finish_row(row, job), retrying.traffic().since(before)))
    table = pa.Table.from_pylist(finished, schema=SOUNDTRACKS).drop_columns(["waveform", "losers"])
    return rows.replace(table, {"conditions": batch["conditions"]})


def _manifest(job: GenerateJob, local: LocalBundle, mapper_fingerprint: str) -> Manifest:
    fingerprints = local.fingerprints()
    return manifest.new(
        "generate",
        identity={
            "seed": job.seed,
            "segments": job.segments.model_dump(),
            "frames": job.frames.model_dump(),
            "sampling": job.sampling.model_dump() if job.sampling else None,
            **sound_identity(job),
            "finish": job.finish.model_dump(),
            "models": {"vision": fingerprints["vision"], "generator": fingerprints["generator"]},
            "mapper": mapper_fingerprint,
            "captioner": job.captioner.model_dump(include={"max_tokens", "beams"}) if job.via_text == "blip" else None,
        },
        config=job.model_dump(),
        bundle=describe_bundle(local),
        spaces={"vision": local.vision_space, "audio": local.audio_space},
    )


def _marks(local: LocalBundle, mapper: str) -> Marks:
    return {"ai_generated": True, "program": f"v2a {__version__}", "bundle": local.name, "mapper": mapper}
