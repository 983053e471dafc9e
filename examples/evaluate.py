"""Measure soundtracks: `python examples/evaluate.py SOUNDTRACKS OUTPUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from v2a_core.config import load
from workflows.evaluate import job
from workflows.evaluate.config import EvaluateJob


def main(soundtracks: str, output: str) -> None:
    """Measure, and print what could be measured of so few."""
    job.run(soundtracks, output, load(EvaluateJob, job="evaluate"), models="miniature")
    measured = json.loads((Path(output) / "metrics.json").read_text(encoding="utf-8"))
    print(f"{measured['counts']['segments']} segments")
    for name, metric in measured["metrics"].items():
        print(f"{name}: {metric.get('value')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
