"""What a process that sees and maps spends before its first frame, with and without what makes its imports quick.

Run `python benchmarks/start_up.py` (some minutes; `--rounds 3` for a quick look). Each line is a fresh process, the
kinds in turns; told are medians of processor seconds (which a busy machine hardly changes), of seconds on the clock,
the modules loaded and the memory held. Below: what is saved, from the same rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from typing import NamedTuple

_REPORT = """
import resource, sys
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, time.perf_counter() - begun, len(sys.modules), used.ru_maxrss / 1024)
"""
_PREPARE = "from v2a_core.compute.torchvision_import import prepare_torchvision\nprepare_torchvision()\n"
_QUICK = "from v2a_core.encoders.open_clip_import import open_clip_models\nopen_clip_models({})\n"
_SOLVER = (
    "from v2a_core.compute.diffusers_import import scheduler_class\nscheduler_class('DPMSolverMultistepScheduler')\n"
)
KINDS = {
    "torch alone": "import torch\n",
    "CLIP's classes, as the program loads them": _QUICK,
    "the same, and torch's compiler": f"import torch._dynamo.utils\n{_QUICK}",
    "all of open_clip": f"{_PREPARE}import open_clip\n",
    "and a mapper's solver, as the program loads it": f"{_QUICK}{_SOLVER}",
    "and a mapper's solver, as diffusers loads it": f"{_QUICK}import diffusers\ndiffusers.UniPCMultistepScheduler\n",
}
SAVED = {
    "the same, and torch's compiler": "CLIP's classes, as the program loads them",
    "all of open_clip": "CLIP's classes, as the program loads them",
    "and a mapper's solver, as diffusers loads it": "and a mapper's solver, as the program loads it",
}


class Start(NamedTuple):
    """What a fresh process took until its imports were done."""

    processor_s: float
    clock_s: float
    modules: float
    memory_mb: float


def start(code: str) -> Start:
    """Run imports in a process of their own."""
    whole = f"import time\nbegun = time.perf_counter()\n{code}{_REPORT}"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return Start(*map(float, done.stdout.split()[-4:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = [{kind: start(code) for kind, code in KINDS.items()} for _ in range(parser.parse_args().rounds)]
    for kind in KINDS:
        starts = [each[kind] for each in rounds]
        cpu, clock, modules, memory = (statistics.median(column) for column in zip(*starts, strict=True))
        print(f"{kind:45} {cpu:5.2f} s processor, {clock:5.2f} s clock, {modules:5.0f} modules, {memory:4.0f} MB")
    for kind, quick in SAVED.items():
        saved = [each[kind].processor_s - each[quick].processor_s for each in rounds]
        print(f"saved against {kind!r}: {statistics.median(saved):.2f} s of processor time")


if __name__ == "__main__":
    main()
