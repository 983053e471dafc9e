"""Go from one thing to another in sound: `python examples/interpolate.py FROM TO MAPPER OUTPUT`."""

from __future__ import annotations

import sys

from v2a_core.config import load
from v2a_core.interpolation.config import InterpolationSettings
from workflows.interpolate import job


def main(first: str, second: str, mapper: str, output: str) -> None:
    """Three sounds: that of the first, one half way, that of the second."""
    settings = load(InterpolationSettings, job="interpolate", overrides=["steps=3"])
    print(f"open {job.run(first, second, output, settings, mapper=mapper, models='miniature')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
