"""`v2a evaluate`: soundtracks and references -> metrics, as JSON, a table, and a row a segment in Parquet."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from v2a_core import storage
from v2a_core.encoders.config import EncoderSettings
from v2a_core.metrics import inputs
from v2a_core.metrics.measure import Result, measure, read_rows, to_markdown, with_references
from v2a_core.models import Bundle, LocalBundle, check_weights, load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import embeddings_ledger, read_columns
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.stages.listen import Ears, ReadSettings, embed_sounds, read_soundtrack
from v2a_core.tables.evaluated import EVALUATED, READ
from v2a_core.tables.schema import OK, ROWS_FOLDER
from v2a_core.verification.retry import forget
from workflows.cluster_runtime.pools import Pools, Worker, device, start_pools
from workflows.evaluate.config import EvaluateJob
from workflows.streaming import chain as pipeline
from workflows.streaming.run import conclude, describe_bundle, reach, stream
from workflows.streaming.summary import Tally

JSON_FILE, TABLE_FILE = "metrics.json", "metrics.md"
STAGE_COLUMNS = {"read": "read_s", "embed": "embed_s"}


def run(
    soundtracks: str,
    output: str,
    job: EvaluateJob,
    *,
    models: str = "paper",
    embeddings: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
) -> dict[str, Any]:
    """Evaluate the soundtracks that have no row yet, then compute all metrics over all rows.

    Args:
        soundtracks: Folder or URI that `v2a generate` wrote.
        output: Folder or URI: `metrics.json`, `metrics.md`, `rows/`, manifest and summary.
        job: The configuration.
        models: A bundle's name or file, whose CLAP the soundtracks were made for.
        embeddings: Folder or URI that `v2a embed` wrote: its CLAP embeddings are the references instead of the
            originals'; those of the same segments if there are any, else all as a set.
        limit: Take the first `limit` soundtracks only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.

    Returns:
        The summary, as written to `summary.json`, with the metrics.

    Raises:
        ConfigError: Wrong configuration, no soundtracks, other embedding spaces, or an output made differently.
        TooManyRejectsError: More unreadable soundtracks than the limits allow, or none that is readable.
        UnfinishedError: Some soundtracks could not be fetched; the next run tries them again.
    """
    # Workers do not stand where the command was given.
    soundtracks, output = storage.canonical(soundtracks), storage.canonical(output)
    with reach([soundtracks], output, job.storage, job.output_storage) as checked:
        bundle = load_bundle(models)
        made_by = inputs.read_manifest(soundtracks, allow_unfinished=job.allow_unfinished)
        index = inputs.read_index(soundtracks, limit)
        folder = storage.join(output, ROWS_FOLDER)
        manifest.check_own(output, "evaluate")
        local = bundle.resolve()
        check_weights(local)
        inputs.check_space(soundtracks, made_by, local)
        references = inputs.read_references(embeddings, local) if embeddings else None
        judge = job.judge or inputs.own_judge(local)
        read = ReadSettings(soundtracks, inputs.segments_of(made_by), job.decoder, local.media_spec(), job.originals)
        mine = _manifest(made_by, job, local, judge, embeddings)
        if manifest.same(output, mine) is not None and not dry_run:
            forget(output, ROWS_FOLDER, inputs.HEARD, inputs.made_again(index, soundtracks))
        ledger = embeddings_ledger(folder)
        planned = index.filter(pc.invert(pc.is_in(index["source_id"], value_set=ledger.complete)))
        tally = Tally("evaluate", listed=index.num_rows, planned=planned.num_rows)
        tally.done_before, tally.before = tally.listed - tally.planned, ledger
        tally.good_before = ledger.good_among(index["source_id"].to_pylist())
        tally.expected = dict(zip(planned["source_id"].to_pylist(), planned["source_name"].to_pylist(), strict=True))
        if dry_run:
            return _show_plan(soundtracks, output, tally, checked)
        pools = start_pools(address, job.pools) if planned.num_rows else None
        claimed = manifest.open_output(output, mine)
        writer = PartWriter(
            folder,
            EVALUATED,
            id_column="segment_id",
            seen=ledger.expected_again(),
            settings=job.output,
            metadata=manifest.part_metadata(claimed, audio_space=local.audio_space),
        )
        data, unfinished = None, Unfinished(output)
        if pools:
            data = _chain(
                inputs.with_sources(planned, job.originals), job, bundle, judge, read, embeddings is None, pools
            )
        stream("evaluate", data, READ.empty_table(), writer, tally, job.limits, STAGE_COLUMNS, unfinished)
        results = _report(
            output, index, references, job, {"soundtracks": soundtracks, "judge": judge, "bundle": local.name}
        )
        metrics = {result.name: result.to_dict() for result in results}
        told = {"bundle": local.name, "trained": local.trained, "metrics": metrics}
        return conclude(output, claimed, tally, writer, unfinished, **told)


def _chain(
    table: pa.Table,
    job: EvaluateJob,
    bundle: Bundle,
    judge: str | None,
    read: ReadSettings,
    embed_references: bool,
    pools: Pools,
) -> Dataset:
    size = pools.sources_per_block or 4
    blocks = pipeline.from_tables(table.slice(start, size) for start in range(0, table.num_rows, size))
    # Originals are decoded as in `embed`: CPU tasks, the codec in a process of its own.
    data = blocks.map_batches(
        functools.partial(_read_batch, settings=read, worker=pools.worker),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=pools.decode_cpus,
        compute=TaskPoolStrategy(size=pools.decode_tasks),
    )
    return data.map_batches(
        ListenStage,
        fn_constructor_kwargs={
            "bundle": bundle,
            "settings": job.encoders,
            "judge": judge,
            "embed_references": embed_references,
            "worker": pools.worker,
        },
        batch_size=pools.segments_per_batch,
        batch_format="pyarrow",
        num_cpus=pools.actor_cpus,
        num_gpus=pools.actor_gpus,  # the only stage with a model: a whole GPU each
        compute=ActorPoolStrategy(size=pools.actors),
    )


def _read_batch(batch: pa.Table, settings: ReadSettings, worker: Worker) -> Iterator[pa.Table]:
    worker.set_up()
    for row in batch.to_pylist():
        yield pa.Table.from_pylist(read_soundtrack(row, settings), schema=READ)


class ListenStage:
    """An actor that holds CLAP's two towers and the judge."""

    def __init__(
        self, bundle: Bundle, settings: EncoderSettings, judge: str | None, embed_references: bool, worker: Worker
    ) -> None:
        from v2a_core.encoders.clap import ClapEncoder

        worker.set_up_model()
        self._local = bundle.resolve()
        self._ears = Ears(
            ClapEncoder(self._local, settings, device()),
            functools.cache(self._text),
            inputs.fetch_judge(judge) if judge else None,
            self._local.media_spec(),
            embed_references,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed and judge a batch of segments."""
        return embed_sounds(batch, self._ears)

    def _text(self) -> Any:
        from v2a_core.generators.audioldm import AudioLdmGenerator
        from v2a_core.generators.config import GeneratorSettings

        return AudioLdmGenerator(str(self._local.generator_path), GeneratorSettings(), "cpu")


def _report(
    output: str,
    index: pa.Table,
    references: dict[str, npt.NDArray[np.float32]] | None,
    job: EvaluateJob,
    facts: dict[str, Any],
) -> Sequence[Result]:
    """Compute the metrics of these soundtracks; write `metrics.json` and `metrics.md`."""
    table = read_columns(storage.join(output, ROWS_FOLDER), EVALUATED.names)
    table = EVALUATED.empty_table() if table is None else table
    table = table.filter(pc.is_in(table["source_id"], value_set=index["source_id"].combine_chunks()))
    found = read_rows(table)
    note = "the originals, where they have sound" if job.originals else "none"
    if references is not None:
        found, note = with_references(found, references)
    results = measure(found, job.metrics)
    good = pc.sum(pc.equal(table["status"], OK)).as_py() or 0
    counts = {"soundtracks": index.num_rows, "segments": good, "rejected": table.num_rows - good}
    content = {
        **facts,
        "references": note,
        "counts": counts,
        "confidence": job.metrics.confidence,
        "metrics": {result.name: result.to_dict() for result in results},
    }
    storage.write_json(storage.join(output, JSON_FILE), content)
    text = to_markdown(results, job.metrics.confidence)
    storage.write_bytes(storage.join(output, TABLE_FILE), text.encode())
    print(text, flush=True)
    return results


def _show_plan(soundtracks: str, output: str, tally: Tally, checked: dict[str, Any]) -> dict[str, Any]:
    plan = {
        "job": "evaluate",
        "soundtracks": soundtracks,
        "output": output,
        "storage": checked,
        "listed": tally.listed,
        "done_before": tally.done_before,
        "to_do": tally.planned,
    }
    print(json.dumps(plan, indent=2, ensure_ascii=False), flush=True)
    return plan


def _manifest(
    made_by: Manifest,
    job: EvaluateJob,
    local: LocalBundle,
    judge: str | None,
    embeddings: str | None,
) -> Manifest:
    return manifest.new(
        "evaluate",
        identity={
            "soundtracks": made_by["output_id"],  # not where they are: outputs may be moved
            "made_by": made_by["identity"],
            "audio": local.fingerprints()["audio"],
            "judge": inputs.judge_fingerprint(judge) if judge else None,
            "originals": job.originals,
            "embeddings": manifest.read(embeddings, job="embed")["output_id"] if embeddings else None,
        },
        config=job.model_dump(),
        bundle=describe_bundle(local),
        spaces={"audio": local.audio_space},
    )
