"""The cluster file of `v2a plan`: which machines there are or could be, and what they, storage and requests cost."""

from __future__ import annotations

from typing import Self

import pydantic

from v2a_core.config import ConfigError, Settings, build, find, read_yaml, setting

FOLDER = "clusters"  # of configs/
NODES_AT_MOST = 10_000


class NodePool(Settings):
    """Machines of one kind."""

    instance: str = setting("", "what the provider calls it")
    count: int | None = setting(None, "so many, always (or give min and max)", unit="nodes", ge=0, le=NODES_AT_MOST)
    min: int = setting(0, "at least so many", unit="nodes", ge=0, le=NODES_AT_MOST)
    max: int | None = setting(None, "at most so many; the plan chooses", unit="nodes", ge=0, le=NODES_AT_MOST)
    cpus: int = setting(..., "CPUs of a node, as Ray is told (needed)", unit="CPU", gt=0)
    gpus: int = setting(0, "GPUs of a node", unit="GPU", ge=0, le=64)
    memory_gib: float | None = setting(
        None, "memory of a node: the plan says when its workers need more", unit="GiB", gt=0
    )
    price_per_hour: float = setting(..., "of a node (needed)", ge=0)
    spot: bool = setting(False, "whether the provider may take it away")
    interruptions_per_hour: float = setting(0.0, "how often it does so with a spot node", unit="1/h", ge=0, le=60)
    cpu_speed: float = setting(1.0, "of one of its CPUs, relative to one of the measuring machine", gt=0)
    gpu_speed: float | None = setting(
        None, "of one of its GPUs in the models: how many CPUs, or GPUs, of the measuring machine it replaces", gt=0
    )
    network_gbps: float | None = setting(None, "to the storage, of a node (none: no limit)", unit="Gbit/s", gt=0)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.count is None) == (self.max is None):
            raise ValueError("give either count, or max (and min, if some are always there)")
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max = {self.max} is below min = {self.min}")
        if self.gpus and self.gpu_speed is None:
            raise ValueError(
                "a pool with GPUs needs gpu_speed: how many CPUs of the measuring machine a GPU replaces in the "
                "models, or how many of its GPUs, if it has some"
            )
        if self.interruptions_per_hour and not self.spot:
            raise ValueError("interruptions_per_hour is for spot nodes: say spot: true")
        return self

    @property
    def least(self) -> int:
        """Nodes that are always there."""
        return self.min if self.count is None else self.count

    @property
    def most(self) -> int:
        """Nodes that there can be."""
        return self.max if self.max is not None else self.least


class HeadNode(Settings):
    """The machine of the driver, which runs no stage."""

    instance: str = setting("", "what the provider calls it")
    memory_gib: float | None = setting(None, "its memory: the plan says when the driver needs more", unit="GiB", gt=0)
    price_per_hour: float = setting(0.0, "of it", ge=0)


class Prices(Settings):
    """What is not machines."""

    storage_per_gb_month: float = setting(0.0, "of what is written", ge=0)
    storage_months: float = setting(1.0, "how long it is kept", unit="months", ge=0)
    get_per_million: float = setting(0.0, "requests that read (GET, HEAD)", ge=0)
    put_per_million: float = setting(0.0, "requests that write or list (PUT, LIST)", ge=0)
    egress_per_gb: float = setting(0.0, "of what is read, where the catalog lies elsewhere", ge=0)


class Bounds(Settings):
    """What no number of nodes makes faster. A plan measures nothing of it: docs/planning.md says where it is from."""

    list_per_s: float = setting(7000.0, "entries of a catalog listed by the driver (S3 gives 1,000 a request)", gt=0)
    plan_s_per_source: float = setting(15e-6, "the driver's work on a source before the first task", unit="s", ge=0)
    commit_rows_per_s: float = setting(6500.0, "rows that the one writer commits", unit="rows/s", gt=0)
    executor_s_per_block: float = setting(0.013, "the driver's work on a block in a stage", unit="s", ge=0)
    ray_core_s_per_block: float = setting(0.02, "Ray's work on it on the nodes, beside the stage's", unit="s", ge=0)
    requests_per_s: float = setting(5500.0, "reads that the storage answers (S3: for each prefix)", gt=0)
    head_base_gib: float = setting(1.5, "memory of driver and Ray's head before the first source", unit="GiB", ge=0)
    head_bytes_per_source: float = setting(420.0, "memory of the driver", unit="B", ge=0)
    restart_s: float = setting(300.0, "until a lost spot node is replaced and its models are loaded", unit="s", ge=0)


class ClusterFile(Settings):
    """Everything that a plan does not measure."""

    currency: str = setting("USD", "of all prices")
    as_of: str = setting("", "when the prices were looked up: they change")
    pools: dict[str, NodePool] = setting(..., "machines by a name of your own (needed)", min_length=1)
    head: HeadNode = setting(HeadNode, "the machine of the driver")
    prices: Prices = setting(Prices, "storage, requests, traffic")
    bounds: Bounds = setting(Bounds, "what no number of nodes makes faster")

    @pydantic.model_validator(mode="after")
    def _any_nodes(self) -> Self:
        if not any(pool.most for pool in self.pools.values()):
            raise ValueError("pools: none of them can have a node (count or max is 0 everywhere)")
        return self


def read_cluster(source: str) -> ClusterFile:
    """A cluster file, by its path or by the name of a shipped one.

    Raises:
        ConfigError: Naming the file, the key, the value and what is allowed.
    """
    path = find(source, FOLDER)
    try:
        return build(ClusterFile, read_yaml(path))
    except ConfigError as error:
        raise ConfigError(f"cluster file {path}: {error}") from None
