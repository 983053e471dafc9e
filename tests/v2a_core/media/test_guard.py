from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_media import render, tone

from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.media.decode import DecodeRequest, SegmentReject, decode_source
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.types import DecodedSegment, MediaError, MediaSpec

# The planted decoders write beside their file what they tried.
SETTINGS = GuardSettings(time_limit_s=1.0, memory_limit_mb=512, attempts=2, confine=False)
OPTIONS: dict[str, Any] = {
    "kind": "video",
    "source_id": "source",
    "spec": MediaSpec(image_size=32, audio_samples=96_000),
    "segments": SegmentSettings(length_s=1.0),
    "frames": FrameSettings(),
}


@pytest.fixture(scope="module")
def guard() -> Iterator[GuardedDecoder]:
    with GuardedDecoder(SETTINGS, "planted_decoders:decode") as decoder:
        yield decoder


@pytest.fixture(scope="module")
def patient_guard() -> Iterator[GuardedDecoder]:
    """Where memory is the limit to be met, also on a busy machine."""
    settings = GuardSettings(time_limit_s=60.0, memory_limit_mb=512, attempts=2, confine=False)
    with GuardedDecoder(settings, "planted_decoders:decode") as decoder:
        yield decoder


def plant(folder: Path, **orders: object) -> Path:
    path = folder / "orders.json"
    path.write_text(json.dumps({name.removeprefix("s"): order for name, order in orders.items()}))
    return path


def tried(path: Path) -> list[int]:
    return [int(line) for line in path.with_suffix(".log").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def gone(pid: int, limit_s: float = 5.0) -> bool:
    deadline = time.monotonic() + limit_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_results_equal_those_without_the_guard(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mp4", sound=tone(2.0))
    request = DecodeRequest(path, **OPTIONS)
    _, *direct = decode_source(request)
    with GuardedDecoder(GuardSettings()) as decoder:
        guarded = list(decoder.decode(DecodeRequest(path, **OPTIONS)))
        pid = decoder.pid
        done = frozenset(item.segment.segment_id for item in direct)
        assert list(decoder.decode(DecodeRequest(path, **OPTIONS, skip=done))) == []
        assert decoder.pid == pid
    assert len(guarded) == len(direct) == 2
    for one, other in zip(guarded, direct, strict=True):
        assert isinstance(one, DecodedSegment)
        assert one.segment == other.segment
        np.testing.assert_array_equal(one.frames_NHWC, other.frames_NHWC)
        np.testing.assert_array_equal(one.frame_times_s, other.frame_times_s)
        np.testing.assert_array_equal(one.waveform, other.waveform)
        assert one.frames_NHWC.flags.writeable
    assert pid is not None
    assert gone(pid)


@pytest.mark.parametrize(
    ("fault", "error_type"),
    [
        ("crash", "DecoderCrashed"),
        pytest.param("abort", "DecoderCrashed", marks=pytest.mark.slow),
        pytest.param("exit", "DecoderCrashed", marks=pytest.mark.slow),
        ("hang", "TimeLimit"),
        pytest.param("hang-in-native-code", "TimeLimit", marks=pytest.mark.slow),
        ("leak", "MemoryLimit"),
        pytest.param("allocate", "MemoryLimit", marks=pytest.mark.slow),
    ],
)
def test_a_fault_costs_its_segment_and_nothing_else(
    guard: GuardedDecoder, patient_guard: GuardedDecoder, tmp_path: Path, fault: str, error_type: str
) -> None:
    path = plant(tmp_path, s1=fault)
    decoder = patient_guard if error_type == "MemoryLimit" else guard
    first, second, third = decoder.decode(DecodeRequest(path, **OPTIONS))
    assert isinstance(first, DecodedSegment)
    assert isinstance(second, SegmentReject)
    assert (second.segment.index, second.error.error_type, second.error.attempts) == (1, error_type, 2)
    assert second.error.stage == "decode"
    assert isinstance(third, DecodedSegment)
    assert third.segment.index == 2
    assert tried(path) == [0, 1, 1, 2]  # the good ones once, the bad one as often as allowed


@pytest.mark.parametrize("fault", ["crash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hang", "leak"))])
def test_a_fault_while_opening_costs_the_source(guard: GuardedDecoder, tmp_path: Path, fault: str) -> None:
    started = time.monotonic()
    with pytest.raises(MediaError) as caught:
        list(guard.decode(DecodeRequest(plant(tmp_path, open=fault), **OPTIONS)))
    assert caught.value.attempts == 2
    assert time.monotonic() - started < 60  # two limits of a second, on a machine that others use
    after = tmp_path / "after"
    after.mkdir()
    assert len(list(guard.decode(DecodeRequest(plant(after), **OPTIONS)))) == 3


def test_a_passing_fault_is_forgotten(guard: GuardedDecoder, tmp_path: Path) -> None:
    path = plant(tmp_path, s1="crash once")
    assert all(isinstance(item, DecodedSegment) for item in guard.decode(DecodeRequest(path, **OPTIONS)))
    assert tried(path) == [0, 1, 1, 2]


@pytest.mark.slow
def test_a_hopeless_file_does_not_cost_a_limit_for_every_segment(guard: GuardedDecoder, tmp_path: Path) -> None:
    orders = {f"s{index}": "crash" for index in range(60)}
    path = plant(tmp_path, length_s=60, **orders)
    rejects = list(guard.decode(DecodeRequest(path, **OPTIONS)))
    assert [item.segment.index for item in rejects] == list(range(60))
    assert all(isinstance(item, SegmentReject) for item in rejects)
    assert len(tried(path)) == 6


def test_errors_of_the_decoder_leave_the_process_alone(guard: GuardedDecoder, tmp_path: Path) -> None:
    list(guard.decode(DecodeRequest(plant(tmp_path), **OPTIONS)))
    pid = guard.pid
    with pytest.raises(MediaError, match="planted refusal"):
        list(guard.decode(DecodeRequest(plant(tmp_path, open="refuse"), **OPTIONS)))
    with pytest.raises(MediaError) as caught:
        list(guard.decode(DecodeRequest(plant(tmp_path, open="raise"), **OPTIONS)))
    assert caught.value.error_type == "KeyError"
    _, reject, _ = guard.decode(DecodeRequest(plant(tmp_path, s1="reject"), **OPTIONS))
    assert isinstance(reject, SegmentReject)
    assert guard.pid == pid


def test_an_error_between_segments_costs_one(guard: GuardedDecoder, tmp_path: Path) -> None:
    first, second, third = guard.decode(DecodeRequest(plant(tmp_path, s1="raise"), **OPTIONS))
    assert isinstance(second, SegmentReject)
    assert (second.segment.index, second.error.error_type) == (1, "KeyError")
    assert isinstance(first, DecodedSegment)
    assert isinstance(third, DecodedSegment)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process waits for")
def test_storage_that_does_not_answer_is_no_fault_of_the_file(guard: GuardedDecoder, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        list(guard.decode(DecodeRequest(plant(tmp_path, open="hang-in-storage"), **OPTIONS)))
    assert (caught.value.stage, caught.value.error_type, caught.value.transient) == ("fetch", "Stalled", True)
    _, *left = guard.decode(DecodeRequest(plant(tmp_path, s1="hang-in-storage"), **OPTIONS))
    assert [(item.segment.index, item.error.error_type) for item in left] == [(1, "Stalled"), (2, "Stalled")]
    assert len(list(guard.decode(DecodeRequest(plant(tmp_path), **OPTIONS)))) == 3


@pytest.mark.slow
def test_a_process_that_cannot_be_killed_is_left_behind(
    guard: GuardedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        assert timeout is not None, "this would wait for ever"
        raise subprocess.TimeoutExpired("decoder", timeout)

    list(guard.decode(DecodeRequest(plant(tmp_path), **OPTIONS)))
    before = guard.pid
    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "wait", never)
        with pytest.raises(MediaError):
            list(guard.decode(DecodeRequest(plant(tmp_path, open="hang"), **OPTIONS)))
    assert len(list(guard.decode(DecodeRequest(plant(tmp_path), **OPTIONS)))) == 3
    assert guard.pid != before


def test_an_abandoned_source_does_not_leak_into_the_next(guard: GuardedDecoder, tmp_path: Path) -> None:
    stream = guard.decode(DecodeRequest(plant(tmp_path, length_s=20), **OPTIONS))
    assert isinstance(next(stream), DecodedSegment)
    stream.close()
    assert [item.segment.index for item in guard.decode(DecodeRequest(plant(tmp_path), **OPTIONS))] == [0, 1, 2]


def test_a_child_killed_between_files_is_replaced(guard: GuardedDecoder, tmp_path: Path) -> None:
    path = plant(tmp_path)
    list(guard.decode(DecodeRequest(path, **OPTIONS)))
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGKILL)
    assert len(list(guard.decode(DecodeRequest(path, **OPTIONS)))) == 3


def test_a_decoder_that_cannot_start_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with (
        GuardedDecoder(SETTINGS, "no_such_module:decode") as decoder,
        pytest.raises(RuntimeError, match="no_such_module"),
    ):
        list(decoder.decode(DecodeRequest(plant(tmp_path), **OPTIONS)))


@pytest.mark.parametrize("state", ["idle", pytest.param("hang", marks=pytest.mark.slow), "hang-in-native-code"])
def test_the_child_dies_with_its_parent(tmp_path: Path, state: str) -> None:
    path = plant(tmp_path, **({} if state == "idle" else {"s1": state}))
    script = f"""
import os, signal, threading
from pathlib import Path
from v2a_core.media.config import *
from v2a_core.media.decode import DecodeRequest
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.types import MediaSpec
guard = GuardedDecoder(GuardSettings(confine=False), "planted_decoders:decode")
path, segments = Path({str(path)!r}), SegmentSettings(length_s=1.0)
stream = guard.decode(DecodeRequest(path, "video", "s", MediaSpec(), segments, FrameSettings()))
next(stream)
print(guard.pid, flush=True)
if {state!r} == "idle":
    list(stream)
    print("idle", flush=True)
next(stream, None)
threading.Event().wait()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if state == "idle":
            parent.stdout.readline()
        time.sleep(0.3)
        assert is_alive(pid)
        parent.kill()
    assert gone(pid)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Two hours cost the decoder's process no more than two minutes, tables of the packets' times aside."""
    peaks = []
    for minutes in (2, 120):
        path = render(tmp_path / f"{minutes}.mp4", pts=range(0, minutes * 60 * 25, 25), sound=None, options={"g": "60"})
        options = {**OPTIONS, "segments": SegmentSettings(), "spec": MediaSpec()}
        with GuardedDecoder(GuardSettings()) as decoder:
            count = sum(isinstance(item, DecodedSegment) for item in decoder.decode(DecodeRequest(path, **options)))
            status = Path(f"/proc/{decoder.pid}/status").read_text()
        assert count == minutes * 6
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]))  # kB
    assert peaks[1] - peaks[0] < 20_000


def test_the_child_imports_no_model_library(tmp_path: Path) -> None:
    code = """
import sys, v2a_core.media.worker, v2a_core.media.decode
print([name for name in ("torch", "ray", "pyarrow", "pandas", "scipy", "fsspec") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert output.stdout.strip() == "[]"
