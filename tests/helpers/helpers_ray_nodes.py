"""A real Ray cluster on machines of their own, on one machine: a head without CPUs, and small workers."""

from __future__ import annotations

import contextlib
import itertools
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from helpers_nodes import Network, Node

WORKERS = 3
PORT = 6379
STORE_MIB = 256
START_S = 120.0  # a busy machine; some six seconds each otherwise
_FIRST_ADDRESS = 10
# No tokens: the network ends at this machine, and who could enter it is root.
_QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"}


class RayNodes:
    """Raylets with an address each. Addresses and names are not used again: a new machine is another one.

    Args:
        network: That the machines are on.
        folder: Of what they write.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self._network, self._folder = network, folder
        self._numbers = itertools.count(_FIRST_ADDRESS)
        self.head: Node | None = None
        self.workers: list[Node] = []

    @property
    def nodes(self) -> list[Node]:
        """All that are on, the head first."""
        return [*([self.head] if self.head else []), *self.workers]

    @property
    def environment(self) -> dict[str, str]:
        """Of a driver on the head."""
        assert self.head is not None
        return {**_QUIET, "RAY_ADDRESS": f"{self.head.address}:{PORT}"}

    def up(self) -> None:
        """Start all of it on machines that are new."""
        self.head = self._machine("head")
        told = self._ray(self.head, "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false")
        _wait_for([told])
        self.workers = [self._machine("worker") for _ in range(WORKERS)]
        _wait_for(
            [self._ray(worker, f"--address={self.head.address}:{PORT}", "--num-cpus=1") for worker in self.workers]
        )

    def lose(self, node: Node) -> None:
        """Switch a machine off."""
        node.down()
        if node is self.head:
            self.head = None
        else:
            self.workers.remove(node)

    def down(self) -> None:
        """Switch all off."""
        for node in self.nodes:
            self.lose(node)

    def _machine(self, kind: str) -> Node:
        number = next(self._numbers)
        name = f"{kind}-{number}"
        return Node(self._network, number, self._folder / name, name).up()

    def _ray(self, node: Node, *options: str) -> Path:
        log = self._folder / f"{node.name}.log"
        ray = f"{sysconfig.get_path('scripts')}/ray"
        command = [
            ray,
            "start",
            "--block",
            f"--node-ip-address={node.address}",
            f"--object-store-memory={STORE_MIB * 2**20}",
        ]
        node.start([*command, *options], log, **_QUIET)
        return log


@contextlib.contextmanager
def running(network: Network, folder: Path) -> Iterator[RayNodes]:
    """A cluster that is up; all its machines are off after the block."""
    made = RayNodes(network, folder)
    try:
        made.up()
        yield made
    finally:
        made.down()


def _wait_for(logs: list[Path]) -> None:
    deadline = time.monotonic() + START_S
    while waiting := [log for log in logs if "Ray runtime started" not in log.read_text(errors="replace")]:
        assert time.monotonic() < deadline, waiting[0].read_text(errors="replace")[-2000:]
        time.sleep(0.1)
