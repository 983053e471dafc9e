"""Decoders that misbehave on command, for the guard's tests; they run in its child process.

The file's content says what happens: a JSON object of segment index (or "open") to fault; a fault followed by `once`
happens in the first attempt only.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from v2a_core.media import segments as plan
from v2a_core.media.decode import DecodeRequest, SegmentReject, decode_source
from v2a_core.media.types import DecodedSegment, MediaError, Segment


def decode(request: DecodeRequest) -> Iterator[object]:
    orders = json.loads(request.path.read_text())
    _obey(orders.get("open", ""), request.path)
    planned = plan.cut(request.source_id, float(orders.get("length_s", 3.0)), request.segments)
    yield planned
    for segment in planned:
        if segment.segment_id not in request.skip:
            with request.path.with_suffix(".log").open("a") as log:
                log.write(f"{segment.index}\n")
            order = orders.get(str(segment.index), "")
            if order == "reject":
                yield SegmentReject(segment, MediaError("decode", "Planted", "planted reject"))
                continue
            _obey(order, request.path)
            yield decoded(segment)


def by_name(request: DecodeRequest) -> Iterator[object]:
    """The real decoder, unless the file's name orders a fault: `abort.mp4`; its process id is left beside it."""
    request.path.with_suffix(".pid").write_text(str(os.getpid()))
    _obey(request.path.stem, request.path)
    yield from decode_source(request)


def obey(order: str) -> Iterator[None]:
    """A function for the guarded process that takes no file."""
    _obey(order, Path())
    yield None


def reach(request: DecodeRequest) -> Iterator[object]:
    """Tries to open each place that the file names, a line each, and a socket; a reject tells what came of it."""
    planned = plan.cut(request.source_id, 1.0, request.segments)
    yield planned
    found = []
    for place in request.path.read_text().splitlines():
        try:
            if place == "socket":
                socket.socket().close()
            else:
                Path(place.rstrip("+")).open("r+b" if place.endswith("+") else "rb").close()
            found.append("open")
        except OSError as error:
            found.append(type(error).__name__)
    yield SegmentReject(planned[0], MediaError("decode", "Planted", " ".join(found)))


def decoded(segment: Segment) -> DecodedSegment:
    return DecodedSegment(
        segment=segment,
        frames_NHWC=np.full((2, 4, 4, 3), segment.index, np.uint8),
        frame_times_s=np.zeros(2, np.float32),
        waveform=np.full(100, 0.5, np.float32),
        audio_rms_dbfs=-6.0,
        silent=False,
        decoder="planted",
        damaged=False,
        decoded_share=1.0,
        source_duration_s=3.0,
    )


def _obey(order: str, path: Path) -> None:
    fault, _, when = order.partition(" ")
    if when == "once":
        marker = path.with_suffix(".once")
        if marker.exists():
            return
        marker.touch()
    if fault == "crash":
        signal.raise_signal(signal.SIGSEGV)
    elif fault == "abort":
        os.abort()
    elif fault == "exit":
        os._exit(3)
    elif fault == "hang":
        time.sleep(600)
    elif fault == "hang-in-storage":
        _wait_without_interruption()
    elif fault == "hang-in-native-code":
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock
    elif fault == "leak":
        hoard = []
        while True:
            hoard.append(np.ones(2**20))  # 8 MB
            time.sleep(0.002)
    elif fault == "allocate":
        np.ones(2**40)
    elif fault == "raise":
        raise KeyError("planted")
    elif fault == "refuse":
        raise MediaError("probe", "Planted", "planted refusal")


def _wait_without_interruption() -> None:
    """Wait in the kernel in the state of a process whose disk does not answer: as the parent of a vfork does."""
    vfork, end_with_parent = 0x4000, 1
    libc = ctypes.PyDLL(None)
    if libc.syscall(56 if platform.machine() == "x86_64" else 220, vfork | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        libc.prctl(end_with_parent, signal.SIGKILL)
        libc.sleep(60)
        os._exit(0)
