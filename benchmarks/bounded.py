"""What `v2a generate` holds at once: memory, temporary disk and Ray's object store, for a small and a large catalog.

Run `python benchmarks/bounded.py`; it makes two catalogs of tiny videos (60 and 600), generates soundtracks for each
with the miniature models, and samples every half second:

- memory: proportional set size (shared pages counted once) of the job and all its processes, which inherit its TMPDIR;
- temporary disk: what lies in the job's TMPDIR and in hidden, unfinished files of the output;
- object store: the pages of Ray's shared memory that are in use (shared pages, counted once).

Peaks that do not grow with the catalog (within 20 %) are what "any size" rests on. The object store also holds the
plan, which does grow, a small block for each decode task: 0.4 kB a source at most. So that it has the weight here that
it has in a real catalog, a segment is of real size: 8 frames a second of the miniature's 64 x 64 pixels are 0.5 MB (ten
frames of the paper's 224 x 224 are 1.5 MB), its waveform is 0.3 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from processes import inheritors, memory_mb

from v2a_core.media.encode import write_video

SETTINGS = (
    "segments.length_s=5.0", "frames.frames_per_second=8.0", "generator.num_inference_steps=2", "output.interval_s=5",
    # The small catalog, too, is more than all queues take.
    "pools.sources_per_block=1", "pools.segments_per_batch=2", "pools.soundtracks_per_batch=2",
)  # fmt: skip


def main() -> None:
    """Print a table of peaks, and how they relate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, nargs=2, default=[60, 600], metavar="N")
    counts = parser.parse_args().sources
    with tempfile.TemporaryDirectory(prefix="v2a-bounded-") as folder:
        peaks = [measure(Path(folder) / str(count), count) for count in counts]
    names = list(peaks[0])
    print(f"{'':28}" + "".join(f"{count:>12}" for count in counts) + f"{'ratio':>9}")
    for name in names:
        small, large = (peak[name] for peak in peaks)
        ratio = f"{large / small:9.2f}" if small else f"{'-':>9}"
        print(f"{name:28}{small:12.1f}{large:12.1f}{ratio}")


def measure(folder: Path, count: int) -> dict[str, float]:
    """Peaks of one job, MB, and its seconds."""
    make_catalog(folder / "catalog", count)
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "workflows.generate", str(folder / "catalog"), "--output", str(folder / "out")]
    command += ["--mapper", "none", "--models", "miniature", *(f"--set={item}" for item in SETTINGS)]
    # Ray's sockets need short paths: its own folder stays where it is.
    environment = {**os.environ, "TMPDIR": str(temporary), "RAY_TMPDIR": "/tmp"}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    watch = Watch(temporary, folder / "out")
    code = process.wait()
    watch.stop()
    if code:
        raise SystemExit(f"the job over {count} sources ended with exit code {code}")
    done = len(list((folder / "out" / "audio").rglob("*.wav")))
    assert done == count, f"{done} soundtracks of {count} sources"
    return {**watch.peaks, "seconds": time.monotonic() - started}


def make_catalog(folder: Path, count: int) -> None:
    """Videos of 3 to 5 s that differ."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number % 10}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = random.integers(0, 255, 3)
        frames = np.broadcast_to(colour.astype(np.uint8), (24 + number % 17, 48, 64, 3))
        write_video(path, frames, 8)


class Watch:
    """Samples until it is stopped."""

    def __init__(self, temporary: Path, output: Path) -> None:
        self.peaks = {"memory, MB": 0.0, "temporary disk, MB": 0.0, "object store, MB": 0.0}
        self._temporary, self._output = temporary, output
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End sampling."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            family = inheritors("TMPDIR", str(self._temporary))
            hidden = [path for path in self._output.rglob(".*") if path.is_file()] if self._output.exists() else []
            now = {
                "memory, MB": memory_mb(family) - memory_mb(family, "Pss_Shmem"),
                "temporary disk, MB": size_mb(self._temporary.rglob("*")) + size_mb(hidden),
                "object store, MB": memory_mb(family, "Pss_Shmem"),
            }
            self.peaks = {name: max(value, now[name]) for name, value in self.peaks.items()}


def size_mb(paths: Iterable[Path]) -> float:
    """Bytes on disk of some files."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_blocks * 512 if path.is_file() else 0
        except OSError:
            continue
    return total / 2**20


if __name__ == "__main__":
    main()
