"""A Dockerfile without Docker: its instructions, and their replay in a root directory of its own (Linux, as root)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

Instruction = tuple[str, str]  # `RUN`, and the rest of its lines in one
# How pip reaches its index on this machine, and whom it trusts.
PIP_FILES = ("/etc/pip.conf", "/etc/xdg/pip", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")


def instructions(dockerfile: Path) -> list[Instruction]:
    """All of them, in order."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.partition(" ")
        found.append((name, rest.strip()))
    return found


def debian(root: Path) -> None:
    """A fresh Debian with its Python where the image of Python has its own: `python` and `pip` in /usr/local/bin."""
    packages = "python3-venv,python3-dev,ca-certificates"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)], check=True)


@dataclass
class Replay:
    """What `docker build` would have by now.

    Attributes:
        root: The filesystem.
        context: What is built from.
        environment: What ENV has set.
        arguments: What ARG has set, or `--build-arg` over it.
        folder: What WORKDIR has set.
        user: What USER has set.
    """

    root: Path
    context: Path
    given: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"

    def build(self, steps: Sequence[Instruction]) -> None:
        """Replay instructions; an unknown one is an error."""
        for name, rest in steps:
            getattr(self, f"_{name.lower()}")(rest)

    def run(self, *command: str, read_only: bool = False, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as the image's user.

        Args:
            command: Its words.
            read_only: As a restricted pod: only /tmp, /home/ray and /dev/shm can be written, no capability is left.
            check: Whether it has to succeed.
        """
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = {**pip, **self.arguments, **self.environment}
        words = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        words += ["sh", "-c", f'cd {shlex.quote(self.folder)} && exec "$@"', "sh", *command]
        uid, gid = self.user.split(":")
        if (uid, gid) != ("0", "0") or read_only:
            limits = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
            words = ["setpriv", *limits, *words]
        inside = [*self._mounts(read_only), f"exec chroot {shlex.quote(str(self.root))} {shlex.join(words)}"]
        # A namespace of its own: what is mounted there is seen by nobody else, and gone with the command.
        namespace = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        done = subprocess.run(
            [*namespace, "bash", "-ec", "\n".join(inside)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout[-5000:]}")
        return done

    def _mounts(self, read_only: bool) -> list[str]:
        root = shlex.quote(str(self.root))
        lines = [f"mount --bind {root} {root}", f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
        for path in [*PIP_FILES, *os.environ.get("PIP_FIND_LINKS", "").split()]:
            if Path(path).exists():
                make = "mkdir -p" if Path(path).is_dir() else "install -D /dev/null"
                lines += [f"[ -e {root}{path} ] || {make} {root}{path}", f"mount --bind {path} {root}{path}"]
        if read_only:
            lines.append(f"mount -o remount,bind,ro {root}")
            for folder in ("/tmp", "/home/ray"):
                lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {root}{folder}")
        return lines

    def _from(self, rest: str) -> None:
        assert not any(self.root.glob("opt/v2a")), "the base is clean"

    def _run(self, rest: str) -> None:
        self.run("sh", "-c", rest)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        place = self.root / (Path(self.folder) / target).relative_to("/")
        for source in sources:
            path = self.context / source
            if path.is_dir():
                shutil.copytree(path, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into = place / path.name if target.endswith("/") else place
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into)

    def _arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self.arguments[name] = self.given.get(name, value)

    def _env(self, rest: str) -> None:
        self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    def _workdir(self, rest: str) -> None:
        self.folder = rest
        (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, rest: str) -> None:
        self.user = rest

    def _label(self, rest: str) -> None:
        """Nothing to do."""

    _cmd = _label
