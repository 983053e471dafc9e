"""What a streaming job says of itself; `streaming.run` does the rest, the same for all of them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

import pyarrow as pa
from ray.data import Dataset

from v2a_core.models import Bundle, LocalBundle
from v2a_core.outputs.ledger import Ledger
from v2a_core.protocols import JSON
from v2a_core.verification.retry import forget_rejects
from workflows.cluster_runtime.pools import Pools
from workflows.streaming.summary import Tally

ItemsT = TypeVar("ItemsT", bound=Sized)


@dataclass(frozen=True)
class Request:
    """What is asked of one run.

    Attributes:
        output: Folder or URI; what it holds already is not done again.
        models: A bundle's name or file.
        limit: Take the first `limit` entries only.
        dry_run: Plan and check, do nothing.
        sample: Of a dry run: measure instead of printing, for `v2a plan`; says how many of so many sources.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        retry_rejects: Stages whose rejects are tried again.
        steal: Take the output over from the run that owns it.
    """

    output: str
    models: str = "paper"
    limit: int | None = None
    dry_run: bool = False
    sample: Callable[[int], int] | None = None
    address: str | None = None
    retry_rejects: Sequence[str] = ()
    steal: bool = False


@dataclass(frozen=True)
class Models:
    """The models of a run: as workers get them, and on this machine."""

    bundle: Bundle
    local: LocalBundle


@dataclass(frozen=True)
class Rows:
    """The rows that a job writes.

    Attributes:
        folder: Where in the output.
        schema: As they are written.
        transit: As the chain gives them: also the rows of what was rejected before the chain are in it.
        id_column: What is unique among them.
        ledger: Reads from the folder what is done.
        metadata: Of each file, beside what every part says of its output.
    """

    folder: str
    schema: pa.Schema
    transit: pa.Schema
    id_column: str
    ledger: Callable[[str], Ledger]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def table(self, items: Sequence[Mapping[str, object]]) -> pa.Table:
        """Rows that no chain made, as the job's own chain would give them."""
        return pa.Table.from_pylist(list(items), schema=self.transit)


class Aside(Protocol):
    """Writes what the rows of a chain bring for another output than the job's own.

    Nothing depends on it: what a killed run has not written aside, the job of that output makes.
    """

    def take(self, table: pa.Table) -> None:
        """Take over what rows bring."""

    def close(self) -> None:
        """Write what was taken; when it returns, all of it is there."""


@dataclass(frozen=True)
class Identity:
    """What every row of an output depends on, for its manifest: another run into the output must have the same.

    Attributes:
        content: Models, segments, sampling, seed, ..., as JSON.
        spaces: The embedding spaces: `{"vision": ..., "audio": ...}`.
    """

    content: Mapping[str, JSON]
    spaces: dict[str, str]


@dataclass(frozen=True)
class Plan(Generic[ItemsT]):
    """What a run has to do.

    Attributes:
        items: What goes through the chain.
        rejected: Rows of entries that were rejected while listing, of the job's `Rows.transit`.
    """

    items: ItemsT
    rejected: pa.Table


@dataclass(frozen=True)
class DryRun(Generic[ItemsT]):
    """What is known when a dry run ends.

    Attributes:
        request: What was asked.
        checked: What of the storage works.
        tally: What is done and what is left.
        plan: What the run would do.
    """

    request: Request
    checked: Mapping[str, JSON]
    tally: Tally
    plan: Plan[ItemsT]


@dataclass(frozen=True)
class StreamingJob(abc.ABC, Generic[ItemsT]):
    """A job from its listing on: `ItemsT` is what goes into its chain.

    Its methods are called in the order in which they stand here.

    Attributes:
        name: The job's name.
        stage_columns: Maps a stage to the column in which rows carry its seconds.
        model_stages: Stages of its chain whose actors hold a model.
        models: The models, checked to be whole.
    """

    name: ClassVar[str]
    stage_columns: ClassVar[Mapping[str, str]]
    model_stages: ClassVar[int] = 1
    models: Models

    @abc.abstractmethod
    def identity(self) -> Identity:
        """What all rows of the output depend on."""

    @abc.abstractmethod
    def rows(self) -> Rows:
        """What is written."""

    def renew(self, request: Request) -> None:
        """Take out of an earlier run's output what this one makes anew: the rejects that are to be tried again."""
        stages = request.retry_rejects
        if stages:
            taken = forget_rejects(request.output, self.rows().folder, stages)
            print(f"{self.name}: {taken} rejects of {', '.join(stages)} are tried again", flush=True)

    @abc.abstractmethod
    def plan(self, ledger: Ledger, tally: Tally) -> Plan[ItemsT]:
        """What is not done yet; the tally learns of it."""

    @abc.abstractmethod
    def show(self, dry: DryRun[ItemsT]) -> dict[str, object]:
        """Print what a run would do, as JSON; returns it."""

    def check_start(self) -> None:
        """The last checks before Ray starts; only when there is something to do."""

    @abc.abstractmethod
    def chain(self, items: ItemsT, output: str, pools: Pools) -> Dataset:
        """From what is planned to rows of `Rows.transit`."""

    def asides(self, output: str, before_commit: Callable[[], None]) -> Sequence[Aside]:
        """Where else findings of the chain's rows go: nowhere, unless a job says so.

        Args:
            output: Folder or URI.
            before_commit: Called before anything is written; what it raises keeps it from being written.
        """
        return ()

    def tell(self, output: str) -> dict[str, JSON]:
        """What the summary holds beside the counts, when all rows are written."""
        return {"bundle": self.models.local.name, "trained": self.models.local.trained}
