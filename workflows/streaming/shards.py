"""Tar shards of a catalog listed by the workers of a cluster: their bytes do not pass through the driver.

A plain shard is a request for each of its members, a compressed one is read from end to end. Without a cluster there is
nobody to give that to: then the driver's threads do it, before Ray starts.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import ray

from v2a_core import storage
from v2a_core.catalog.files import FileInfo
from v2a_core.catalog.tar import Shard, list_shard
from v2a_core.storage import StorageAccess
from v2a_core.storage.public import public
from workflows.cluster_runtime import address as cluster_address
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.restarts import TASK_RETRIES

AT_ONCE = 64  # what they found waits for its turn in the driver: some 200 bytes a member
CPUS = 0.5  # mostly it is waiting for storage


class ShardListingError(OSError):
    """A shard that no worker could list."""


class ShardsOnWorkers:
    """A `ShardLister` whose shards are tasks of Ray; connects when the first one comes.

    Attributes:
        at_once: Shards that are listed or wait for their turn.

    Args:
        address: Of the cluster; None: RAY_ADDRESS, or what this process is connected to.
    """

    at_once = AT_ONCE

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._task: Any = None

    def submit(self, info: FileInfo, max_bytes: int, *, heard: bool) -> Future[Shard]:
        """Begin to list a shard."""
        if self._task is None:
            connection.connect(self._address)
            self._task = ray.remote(num_cpus=CPUS, max_retries=TASK_RETRIES)(_list).options(name="ListShard")
        told: Future[Shard] = Future()
        asked: Future[Shard] = self._task.remote(storage.in_use(), info, max_bytes, heard).future()
        asked.add_done_callback(lambda done: _pass_on(done, told, info.uri))
        return told


def shards_on_workers(address: str | None) -> ShardsOnWorkers | None:
    """What lists shards on a cluster; None where there is none but the one that would start here."""
    there = ray.is_initialized() or cluster_address.chosen(address) is not None
    return ShardsOnWorkers(address) if there else None


def _list(access: StorageAccess, info: FileInfo, max_bytes: int, heard: bool) -> Shard:
    storage.set_process_default(access)
    return list_shard(info, max_bytes, heard=heard)


def _pass_on(done: Future[Shard], told: Future[Shard], uri: str) -> None:
    """The answer, or an error that says which shard it is of."""
    error = done.exception()
    if error is None:
        told.set_result(done.result())
    elif isinstance(error, OSError | ImportError | NotImplementedError):  # raised by the task, as it would be here
        told.set_exception(error)
    else:
        lines = str(error).splitlines() or [""]
        told.set_exception(
            ShardListingError(f"no worker could list {public(uri)} ({type(error).__name__}: {lines[0]})")
        )
