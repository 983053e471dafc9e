"""Soundtracks for silent video: the library. It knows nothing of Ray.

import v2a_core

sound = v2a_core.soundtrack("in.mp4", mapper="mapper/")  # sound.waveform, sound.sample_rate
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2a_core.single_video import soundtrack as soundtrack

from v2a_core.version import __version__ as __version__

# Threads of OpenMP, which torch computes with on a CPU, spin for a long time when they wait for each other. Where
# decoders and several models share the cores, one that is not running lets all others spin, and a model becomes ten
# times slower. It must be set before torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> object:
    # Importing the library, as every worker does, loads no model's code.
    if name == "soundtrack":
        from v2a_core.single_video import soundtrack

        return soundtrack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
