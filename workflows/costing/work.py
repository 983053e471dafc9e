"""What a sample of a job took, a source at a time: what the model computes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from v2a_core.protocols import JSON

Kind = Literal["decode", "model", "other"]
PART_OF_GET = 32 * 2**20  # bytes that a request fetches of a file


@dataclass(frozen=True)
class Stage:
    """A stage of a job's chain. Seconds and bytes are those of one source.

    Attributes:
        name: The class of the stage.
        kind: What runs it: decode tasks; a model's actors, on GPUs where there are some; anything else, on CPUs.
        wall_s: That a worker of it is busy.
        core_s: Of processor time, of the worker and of the decoder that works for it.
        bytes_out: That it hands on through the object store.
    """

    name: str
    kind: Kind
    wall_s: float
    core_s: float
    bytes_out: float


@dataclass(frozen=True)
class Work:
    """What one source takes, and what a run takes beside its sources.

    Attributes:
        job: The job's name.
        sources: In the sample; what is said of one source is their mean.
        rows: Rows that a source gives.
        stages: Of the chain, in its order.
        start_s: Before the first source and after the last: imports, Ray, loading the models.
        bytes_in: That a source has.
        bytes_out: That the output holds of it.
        gets: Requests that read it, were it on S3.
        puts: Requests that write its files, were they on S3; parts are not counted here.
        files_seen: Whether files beside parts count in `bytes_out` and `puts`: other machines' are not seen.
        model_stages: Stages of the chain whose actors hold a model, as the layout counts them.
        on_gpus: Whether the models computed on GPUs.
        cores: CPUs of the machines that measured.
        actor_bytes: Memory of one actor of each stage together; 0: not known.
        worker_bytes: Memory of a decode worker with its decoder; 0: not known.
        fetched: Whether the sources came from elsewhere: then decoding waits for storage, too.
    """

    job: str
    sources: int
    rows: float
    stages: tuple[Stage, ...]
    start_s: float
    bytes_in: float
    bytes_out: float
    gets: float
    puts: float
    files_seen: bool
    model_stages: int
    on_gpus: bool
    cores: float
    actor_bytes: float
    worker_bytes: float
    fetched: bool

    def busy_s(self, kind: Kind) -> float:
        """Seconds of a source in which a worker of the stages of a kind can do nothing else.

        Where nothing has to be waited for it is the processor time: the rest was spent on other work of the machine.
        """
        waits = self.fetched if kind != "model" else self.on_gpus
        return sum(stage.wall_s if waits else stage.core_s for stage in self.stages if stage.kind == kind)

    def core_s(self, *, models: bool) -> float:
        """Processor seconds of a source: of all stages, or of those without a model."""
        return sum(stage.core_s for stage in self.stages if models or stage.kind != "model")

    def to_dict(self) -> dict[str, JSON]:
        """As JSON."""
        values: dict[str, JSON] = dataclasses.asdict(self)
        return values


def gets_of(sizes: Sequence[int]) -> float:
    """Requests that read a file of such a size, on average: one asks for it, each 32 MiB take one more."""
    return sum(1 + max(1, -(-size // PART_OF_GET)) for size in sizes) / max(1, len(sizes))
