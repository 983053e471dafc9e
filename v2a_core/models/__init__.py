"""Model bundles: which checkpoints make a system, fetched, verified, compatible. Importing this loads no torch.

Here belongs what holds for weights of any architecture. What one architecture's folder holds is known where its
component is: in `encoders`, `captioners`, `generators`.
"""

from v2a_core.models.bundle import (
    Bundle,
    BundleSettings,
    ClapSource,
    ClipSource,
    GeneratorSource,
    LocalBundle,
    load_bundle,
)
from v2a_core.models.errors import ModelError
from v2a_core.models.resolve import check_weights, fetch_bundle, show_bundle
from v2a_core.models.spaces import SpaceCheck, check_spaces

__all__ = [
    "Bundle",
    "BundleSettings",
    "ClapSource",
    "ClipSource",
    "GeneratorSource",
    "LocalBundle",
    "ModelError",
    "SpaceCheck",
    "check_spaces",
    "check_weights",
    "fetch_bundle",
    "load_bundle",
    "show_bundle",
]
