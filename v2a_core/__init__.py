"""Soundtracks for silent video: the library. It knows nothing of Ray."""

import os

__version__ = "0.1.0"

# Threads of OpenMP, which torch computes with on a CPU, spin for a long time when they wait for each other. Where
# decoders and several models share the cores, one that is not running lets all others spin, and a model becomes ten
# times slower. It must be set before torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
