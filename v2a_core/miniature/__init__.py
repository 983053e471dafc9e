"""The small world and the small models that make the program work offline.

The models are of the classes that the paper's system is made of, at tiny size, in the same checkpoint formats, and are
loaded by the same code.
"""

from __future__ import annotations

from pathlib import Path


def init_miniature(folder: Path, seed: int = 0) -> None:
    """Write the miniature bundle: seeded random weights in the published formats.

    Args:
        folder: Where; `clip/`, `clap/`, `generator/` and `bundle.yaml` are made in it: `--models FOLDER` loads it.
        seed: Seed of all weights.
    """
    from v2a_core.miniature.bundle import write_bundle  # torch and the model libraries load here

    write_bundle(folder, seed)
