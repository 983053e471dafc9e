"""`v2a embed`: a catalog of videos and images -> embeddings in Parquet, a row a segment."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from v2a_core import storage
from v2a_core.catalog.apart import check_apart
from v2a_core.encoders.config import EncoderSettings
from v2a_core.models import Bundle, LocalBundle, check_weights, load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import embeddings_ledger
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.stages.decode import DecodeSettings
from v2a_core.stages.embed import embed_audio
from v2a_core.tables import rows
from v2a_core.tables.schema import ROWS_FOLDER, embeddings_schema
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.pools import Pools, Worker, device, prepare_data, start_pools
from workflows.embed.config import EmbedJob
from workflows.streaming import chain as pipeline
from workflows.streaming.estimate import estimate
from workflows.streaming.run import conclude, describe_bundle, list_catalog, plan_work, reach, retry, show_plan, stream
from workflows.streaming.summary import Tally

STAGE_COLUMNS = {"decode": "decode_s", "vision": "vision_s", "audio": "audio_s"}


def run(
    catalog: Sequence[str],
    output: str,
    job: EmbedJob,
    *,
    models: str = "paper",
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    retry_rejects: Sequence[str] = (),
) -> dict[str, Any]:
    """Embed what is not embedded yet.

    Args:
        catalog: Files, folders, globs, prefixes, shards or tables.
        output: Folder or URI of the embeddings; what it holds already is not done again.
        job: The configuration.
        models: A bundle's name or file.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        retry_rejects: Stages whose rejects are tried again.

    Returns:
        The summary, as written to `summary.json`.

    Raises:
        ConfigError: Wrong configuration, an empty catalog, or an output that was made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched; the next run tries them again.
    """
    check_apart(catalog, output)
    tally = Tally("embed")
    with reach(catalog, output, job.storage, job.output_storage) as checked:
        bundle = load_bundle(models)
        listing = list_catalog(catalog, job.catalog, limit)
        folder = storage.join(output, ROWS_FOLDER)
        manifest.check_own(output, "embed")
        local = bundle.resolve()
        check_weights(local)
        mine = _manifest(job, local)
        if retry_rejects and not dry_run:
            retry(output, ROWS_FOLDER, retry_rejects, mine)
        ledger = embeddings_ledger(folder)
        plan = plan_work(listing, ledger, tally, job)
        if dry_run:
            connection.connect(address)
            pools = prepare_data(job.pools)
            chain = functools.partial(_chain, job=job, bundle=bundle, local=local, pools=pools)
            time_needed = estimate(plan.sources, chain, STAGE_COLUMNS, pools) if plan.sources else None
            return show_plan("embed", output, checked, listing, tally, pools, time_needed)
        manifest.same(output, mine)
        pools_ready = start_pools(address, job.pools) if plan.sources else None
        made_by = manifest.open_output(output, mine)
        writer = PartWriter(
            folder,
            embeddings_schema(local.vision_dim),
            id_column="segment_id",
            seen=ledger.expected_again(),
            settings=job.output,
            metadata=manifest.part_metadata(made_by, vision_space=local.vision_space, audio_space=local.audio_space),
        )
        data = _chain(plan.sources, job, bundle, local, pools_ready) if pools_ready else None
        unfinished = Unfinished(output)
        stream("embed", data, rows.table(plan.rejected), writer, tally, job.limits, STAGE_COLUMNS, unfinished)
        return conclude(output, made_by, tally, writer, unfinished, bundle=local.name, trained=local.trained)


def _chain(
    planned: Sequence[pipeline.PlannedSource], job: EmbedJob, bundle: Bundle, local: LocalBundle, pools: Pools
) -> Dataset:
    decode = DecodeSettings(job.segments, job.frames, job.decoder, local.media_spec(), want_audio=True)
    data = pipeline.dataset(planned, pools.sources_per_block)
    data = pipeline.decode(data, decode, pools)
    return data.map_batches(
        EncodeStage,
        fn_constructor_kwargs={"bundle": bundle, "settings": job.encoders, "worker": pools.worker},
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus,
        num_gpus=pools.actor_gpus,  # the only stage with models: a whole GPU each
        compute=ActorPoolStrategy(size=pools.actors),
    )


class EncodeStage:
    """An actor that holds both encoders.

    An actor for each would load Ray, torch and torchvision twice, and frames would wait while sound is embedded
    elsewhere on the same cores. A GPU takes both in its stride: it is decoding that a job waits for.
    """

    def __init__(self, bundle: Bundle, settings: EncoderSettings, worker: Worker) -> None:
        from v2a_core import encoders

        self._see = pipeline.ClipStage(bundle, settings, worker)
        self._ears = encoders.build("audio", "clap", bundle.resolve(), settings, device())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed the frames and the sound of a batch of segments."""
        return embed_audio(self._see(batch), self._ears)


def _manifest(job: EmbedJob, local: LocalBundle) -> Manifest:
    fingerprints = local.fingerprints()
    return manifest.new(
        "embed",
        identity={
            "segments": job.segments.model_dump(),
            "frames": job.frames.model_dump(),
            "vision": fingerprints["vision"],
            "audio": fingerprints["audio"],
        },
        config=job.model_dump(),
        bundle=describe_bundle(local),
        spaces={"vision": local.vision_space, "audio": local.audio_space},
    )
