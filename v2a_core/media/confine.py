"""What the decoder's process can reach: the files of its request, and no network. Linux only; nothing elsewhere.

A decoder is a large program in C that reads files of strangers. Landlock (Linux 5.13) is the kernel's own list of what
a thread may open: it is given to the thread of one request, as it can never be lifted. A filter of system calls
(seccomp) takes the network from the whole process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

# Landlock, linux/landlock.h: numbers of system calls (the same on every architecture) and bits of access.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ALL_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_FROM_5 = (1 << 16) - 1

_NO_NEW_PRIVILEGES = 38  # prctl
_EACCES = 13

# seccomp, linux/seccomp.h and linux/filter.h: by machine, the kernel's name of it (linux/audit.h), the number of
# seccomp(), and the calls that reach another process or the network.
_MACHINES = {
    "x86_64": (0xC000003E, 317, (41, 101, 310, 311, 425)),  # socket, ptrace, process_vm_readv, _writev, io_uring_setup
    "aarch64": (0xC00000B7, 277, (198, 117, 270, 271, 425)),
}
_SET_FILTER, _ALL_THREADS, _KEEP_SPECULATION = 1, 1, 4
_LOAD, _EQUAL, _GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | _EACCES
_OTHER_ABI = 0x40000000  # x32, whose calls have numbers of their own


def forbid_network() -> bool:
    """No more sockets in this process, for good; nor a look into another one. False where the system has no filter."""
    known = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if known is None:
        return False
    architecture, seccomp, calls = known
    ahead = len(calls)  # steps are skipped to get from a call's step to the last
    program = [
        (_LOAD, 0, 0, 4),  # the architecture of the call
        (_EQUAL, 0, ahead + 3, architecture),
        (_LOAD, 0, 0, 0),  # its number
        (_GREATER_EQUAL, ahead + 1, 0, _OTHER_ABI),
        *((_EQUAL, ahead - place, 0, number) for place, number in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _give_up_privileges()
    return _call(seccomp, _SET_FILTER, _ALL_THREADS | _KEEP_SPECULATION, described) == 0


def confine_thread(reads: Sequence[Path], writes: Sequence[Path] = ()) -> bool:
    """This thread, and those it starts, can open nothing any more but some files, and the libraries of Python.

    Args:
        reads: Files that may be read.
        writes: Files, which must exist, that may also be written.

    Returns:
        False where the system cannot do that.
    """
    version = _landlock_version()
    if version < 1:
        return False
    all_access = _ALL_OF_VERSION.get(version, _ALL_FROM_5)
    ruleset = _call(_CREATE_RULESET, struct.pack("Q", all_access), 8, 0)
    if ruleset < 0:
        return False
    try:
        _allow(ruleset, reads, _READ_FILE)
        _allow(ruleset, writes, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & all_access)
        _allow(ruleset, _libraries(), _READ_FILE | _READ_DIR)
        _give_up_privileges()
        return _call(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def work_nowhere() -> None:
    """The working folder becomes one that is empty and stays so, as it is deleted."""
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        os.chdir(folder)


def _allow(ruleset: int, paths: Iterable[Path], access: int) -> None:
    for path in paths:
        # What cannot be opened here can be opened by nobody: its reader says so better.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
            finally:
                os.close(descriptor)


@functools.cache
def _libraries() -> tuple[Path, ...]:
    """Folders of Python and of the decoders: modules that are imported, and tables that are read, at first use."""
    folders = {Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib")}
    folders |= {Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    for name in ("av", "decord", "numpy", "PIL", "soundfile", "soxr"):
        origin = getattr(sys.modules.get(name), "__file__", None)
        if origin:
            folders.add(Path(origin).parent)
    return tuple(folders)


@functools.cache
def _landlock_version() -> int:
    """Of the kernel's Landlock; below 1 where there is none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    return _call(_CREATE_RULESET, None, 0, _VERSION)


def _give_up_privileges() -> None:
    """No program started from here gets more rights than this one has: the condition for both filters."""
    _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call, -1 when it fails."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_libc().syscall(ctypes.c_long(number), *wide))


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
