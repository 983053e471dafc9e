"""The frame of every streaming job: check, list, plan, start Ray, claim the output, stream into it, tell.

Whatever refuses a run is told before Ray starts and before the output is claimed: a refused run leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from v2a_core import storage
from v2a_core.models import LocalBundle, check_weights, load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import Lease, hold
from v2a_core.outputs.manifest import BundleRecord, Manifest
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from v2a_core.storage.preflight import check_storage
from workflows.cluster_runtime.counters import Monitored
from workflows.cluster_runtime.pools import Pools, start_pools
from workflows.cluster_runtime.series import Run
from workflows.streaming.config import JobSettings
from workflows.streaming.job import DryRun, ItemsT, Models, Plan, Request, StreamingJob
from workflows.streaming.stream import Sink, stream
from workflows.streaming.summary import Tally, sentence

ListedT = TypeVar("ListedT")


@dataclass(frozen=True)
class Entrance(Generic[ListedT, ItemsT]):
    """What a job does before it knows its models.

    Attributes:
        name: The job's name.
        settings: Its configuration.
        inputs: What it reads, to be reached.
        listed: Lists the inputs, at most their first entries.
        opened: Makes the job when they are listed and the models are there; checks both against each other.
    """

    name: str
    settings: JobSettings
    inputs: Sequence[str]
    listed: Callable[[int | None], ListedT]
    opened: Callable[[Models, ListedT], StreamingJob[ItemsT]]


def run(request: Request, entrance: Entrance[ListedT, ItemsT]) -> dict[str, Any]:
    """Do what is not done yet.

    Returns:
        The summary, as written to `summary.json`; for a dry run what it printed.

    Raises:
        ConfigError: Wrong configuration, nothing to list, or an output that was made differently.
        TooManyRejectsError: More rejected sources than the limits allow, or nothing good at all.
        UnfinishedError: Some sources could not be fetched or written; the next run tries them again.
    """
    tally, settings = Tally(entrance.name), entrance.settings
    access = StorageAccess.of_job(settings.storage, request.output, settings.output_storage)
    with storage.reach(access):
        checked = check_storage(entrance.inputs, request.output, access)
        return _run(request, entrance, tally, checked)


@dataclass(frozen=True)
class _Ready(Generic[ItemsT]):
    """A run that nothing refuses any more but the cluster and another run."""

    request: Request
    settings: JobSettings
    job: StreamingJob[ItemsT]
    mine: Manifest
    tally: Tally

    def plan(self) -> Plan[ItemsT]:
        """What is left to do, by what the output holds now."""
        rows = self.job.rows()
        return self.job.plan(rows.ledger(storage.join(self.request.output, rows.folder)), self.tally)


def _run(
    request: Request, entrance: Entrance[ListedT, ItemsT], tally: Tally, checked: Mapping[str, JSON]
) -> dict[str, object]:
    """From the listing on; what is still refused here is refused before anything is written."""
    bundle = load_bundle(request.models)
    listed = entrance.listed(request.limit)
    manifest.check_own(request.output, entrance.name)
    models = Models(bundle, bundle.resolve())
    check_weights(models.local)
    job = entrance.opened(models, listed)
    mine = manifest_of(job, entrance.settings)
    manifest.same(request.output, mine)
    ready = _Ready(request, entrance.settings, job, mine, tally)
    if request.dry_run:
        return job.show(DryRun(request, checked, tally, ready.plan()))
    # What is done is read by the owner alone: nobody else can do more of it meanwhile.
    with hold(request.output, job.name, steal=request.steal) as lease:
        lease.tell(tally.progress)
        return _make(ready, lease)


def _make(ready: _Ready[ItemsT], lease: Lease) -> dict[str, object]:
    """Plan, start Ray, claim the output, run the chain into it."""
    job, tally, settings, output = ready.job, ready.tally, ready.settings, ready.request.output
    if manifest.same(output, ready.mine) is not None:
        job.renew(ready.request)
    plan, pools = ready.plan(), None
    if len(plan.items):
        job.check_start()
        pools = start_pools(ready.request.address, settings.pools, job.model_stages)
    claimed = manifest.open_output(output, ready.mine)
    writer = _writer(ready, claimed, lease)
    data = job.chain(plan.items, output, pools) if pools else None
    monitored = _monitored(job, lease, output, pools) if pools else None
    asides = job.asides(output, lease.check) if pools else ()
    sink = Sink(writer, Unfinished(output), tally, settings.limits, job.stage_columns, monitored, asides)
    stream(data, plan.rejected, sink)
    lease.check()
    return _conclude(ready, claimed, sink)


def _monitored(job: StreamingJob[ItemsT], lease: Lease, output: str, pools: Pools) -> Monitored:
    device: Literal["gpu", "cpu"] = "gpu" if pools.main_gpus else "cpu"
    return Monitored(Run.owning(job.name, output, lease), pools.actors, device, job.stage_columns)


def _conclude(ready: _Ready[ItemsT], claimed: Manifest, sink: Sink) -> dict[str, object]:
    """Summary and manifest, and whether it was a success."""
    output, tally = ready.request.output, ready.tally
    summary = tally.summary(output, "unfinished" if sink.unfinished.count else "done")
    document: dict[str, object] = {**summary, **ready.job.tell(output)}
    manifest.close_output(
        output, claimed, cast(Mapping[str, JSON], document), {**tally.before.parts, **sink.writer.written}
    )
    storage.write_json(storage.join(output, "summary.json"), document)
    print(sentence(summary), flush=True)
    sink.unfinished.check()
    tally.check_good()
    return document


def describe_bundle(local: LocalBundle) -> BundleRecord:
    """What a manifest says of the models."""
    return {"name": local.name, "trained": local.trained, "fingerprints": local.fingerprints()}


def manifest_of(job: StreamingJob[ItemsT], settings: JobSettings) -> Manifest:
    """The manifest of a job's output, before anything is written."""
    identity = job.identity()
    return manifest.new(
        job.name,
        identity=identity.content,
        config=settings.model_dump(),
        bundle=describe_bundle(job.models.local),
        spaces=identity.spaces,
    )


def _writer(ready: _Ready[ItemsT], claimed: Manifest, lease: Lease) -> PartWriter:
    rows = ready.job.rows()
    return PartWriter(
        storage.join(ready.request.output, rows.folder),
        rows.schema,
        id_column=rows.id_column,
        seen=ready.tally.before.expected_again(),
        settings=ready.settings.output,
        metadata=manifest.part_metadata(claimed, **rows.metadata),
        before_commit=lease.check,
    )
