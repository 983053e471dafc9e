"""Make a page to listen to: `python examples/page.py SOUNDTRACKS METRICS`."""

from __future__ import annotations

import sys

from v2a_core.config import load
from workflows.page import job
from workflows.page.config import PageSettings


def main(soundtracks: str, metrics: str) -> None:
    """Write `index.html` beside the soundtracks."""
    page = job.run(soundtracks, load(PageSettings, job="page"), metrics=metrics)
    print(f"open {page}")


if __name__ == "__main__":
    main(*sys.argv[1:])
