"""Machines on one machine: each with an address, processes, a name, /tmp and shared memory of its own, on one network.

A node is what one process and its descendants see (namespaces of Linux): it ends, with whatever runs in it, when that
process is killed, and leaves nothing behind. It needs root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers_processes import below, job_environment

# Collects what its descendants leave, as the first process of a machine does.
_KEEPER = ("bash", "-c", "while :; do sleep 3600 & wait $!; done")
# Ends with this process, too, however it ends.
_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_APART = (*_WITH_US, "unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
_NOWHERE = "02:00:00:00:00:00"  # the hardware of no node: what is sent there is lost without a word
_SHARED_MEMORY = "1g"


def missing() -> str:
    """Why nodes cannot be made here, in a sentence; empty where they can."""
    if os.getuid() != 0:
        return "machines of their own on one machine (network namespaces) take root"
    try:
        for command in (["ip", "-V"], ["nsenter", "-V"], [*_APART, "true"]):
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        with network():
            return ""
    except FileNotFoundError as error:
        return f"{error.filename} is not installed (Debian: iproute2, util-linux)"
    except subprocess.CalledProcessError as error:
        return f"this machine makes no namespaces or bridges: {error.stderr.strip()}"


@dataclass(frozen=True)
class Network:
    """A bridge that nodes are on; this process is on it, too, with the first address."""

    name: str
    prefix: str  # three bytes of an address, dotted

    def address(self, number: int) -> str:
        return f"{self.prefix}.{number}"


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network with addresses that are not in use here."""
    taken = _ip("-o", "-4", "addr")
    third = next(third for third in range(os.getpid() % 200, 255) if f" 10.199.{third}." not in taken)
    made = Network(f"v2a{third}", f"10.199.{third}")
    _ip("link", "add", made.name, "type", "bridge")
    try:
        _ip("addr", "add", f"{made.address(1)}/24", "dev", made.name)
        _ip("link", "set", made.name, "up")
        yield made
    finally:
        _ip("link", "del", made.name)


@dataclass
class Node:
    """A machine.

    Attributes:
        address: On the network.
        first: Its first process, as this process numbers it.
        folder: What it has for /tmp, as this process sees it.
    """

    network: Network
    number: int
    folder: Path
    name: str
    first: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _keeper: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return self.network.address(self.number)

    @property
    def inside(self) -> list[str]:
        """What a command begins with that is to run there."""
        return ["nsenter", "--target", str(self.first), "--net", "--mount", "--uts", "--pid"]

    def up(self) -> Node:
        """Switch it on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._keeper = subprocess.Popen([*_APART, *_KEEPER], start_new_session=True)
        deadline = time.monotonic() + 20
        while not (found := _in_other_namespace(self._keeper.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.first = found[0]
        cable = f"{self.network.name}n{self.number}"
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(self.first))
        _ip("link", "set", cable, "master", self.network.name, "up")
        self.shell(
            f"hostname {self.name} && mount --bind {self.folder} /tmp && "
            f"mount -t tmpfs -o size={_SHARED_MEMORY} v2a-test /dev/shm && ip link set lo up && "
            f"ip addr add {self.address}/24 dev eth0 && ip link set eth0 up"
        )
        return self

    def shell(self, script: str) -> None:
        """Run a script there."""
        subprocess.run([*self.inside, "sh", "-c", script], capture_output=True, text=True, check=True, timeout=30)

    def start(self, command: Sequence[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command there; it ends with the node at the latest."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*self.inside, *command],
                env=job_environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        """What runs there, as this process numbers it."""
        return [
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if _namespace(pid) == _namespace(self.first)
        ]

    def unplug(self) -> None:
        """Take its cable away: nothing that it sends arrives, and nobody is told."""
        _ip("link", "set", f"{self.network.name}n{self.number}", "down")

    def plug(self) -> None:
        """Undo `unplug`."""
        _ip("link", "set", f"{self.network.name}n{self.number}", "up")

    def refuse(self, peer: Node) -> None:
        """What it sends to another machine is refused at once, with an error."""
        self.shell(f"ip route add unreachable {peer.address}/32")

    def admit(self, peer: Node) -> None:
        """Undo `refuse`."""
        self.shell(f"ip route del unreachable {peer.address}/32")

    def down(self) -> None:
        """Switch it off: all that runs there ends at once."""
        if self._keeper is None:
            return
        self._keeper.kill()
        for process in (self._keeper, *self.processes):
            process.wait(60)
        self._keeper = None


def cut(one: Node, other: Node) -> None:
    """What two nodes send each other is lost, without a word to either."""
    for node, peer in ((one, other), (other, one)):
        node.shell(f"ip neigh replace {peer.address} lladdr {_NOWHERE} nud permanent dev eth0")


def join(one: Node, other: Node) -> None:
    """Undo `cut`."""
    for node, peer in ((one, other), (other, one)):
        node.shell(f"ip neigh del {peer.address} dev eth0")


def _in_other_namespace(parent: int) -> list[int]:
    return [pid for pid in below(parent) if _namespace(pid) not in ("", _namespace(os.getpid()))]


def _namespace(pid: int) -> str:
    """The processes that a process sees; empty when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=20).stdout
