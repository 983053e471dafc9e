"""Model bundles: which checkpoints make a system, fetched, verified, compatible. Importing this loads no torch.

Here belong sources, files, checksums, fingerprints and spaces. What a folder of CLIP, BLIP or CLAP holds does not: an
encoder's settings know that (`parts.PartSettings` is what is asked of them).
"""

from v2a_core.models.bundle import Bundle, load_bundle
from v2a_core.models.copies import fetch_bundle, show_bundle
from v2a_core.models.errors import ModelError
from v2a_core.models.local import LocalBundle, check_weights
from v2a_core.models.settings import BundleSettings, GeneratorSource
from v2a_core.models.spaces import SpaceCheck, check_spaces

__all__ = [
    "Bundle",
    "BundleSettings",
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
