"""Embed a catalog: `python examples/embed.py CATALOG OUTPUT`."""

from __future__ import annotations

import sys

from v2a_core.config import load
from workflows.embed import job
from workflows.embed.config import EmbedJob


def main(catalog: str, output: str) -> None:
    """Embed, though half of the sources should be broken, and say what became of them."""
    settings = load(EmbedJob, job="embed", overrides=["limits.max_reject_share=0.5"])
    totals = job.run([catalog], output, settings, models="miniature")["totals"]
    print(f"{totals['rows_good']} segments of {totals['sources']} sources -> {output}/rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
