"""A bundle told to a person, and copied to a folder or bucket for machines that reach nothing else."""

from __future__ import annotations

from typing import Any

import yaml

from v2a_core import storage
from v2a_core.models import digests
from v2a_core.models.bundle import BUNDLE_FILE, CHECKSUMS_FILE, Bundle
from v2a_core.models.local import LocalBundle


def fetch_bundle(bundle: Bundle, destination: str) -> dict[str, str]:
    """Copy a bundle to a folder or bucket, for machines without a hub: `--models DESTINATION` loads it from there.

    Args:
        bundle: What to copy; fetched first where it is remote.
        destination: Folder or URI.

    Returns:
        Sha256 of each file by its name in the destination, also written there as `checksums.json`.
    """
    local = bundle.resolve()
    files = {
        f"{name}/{inside}": path for name, part in local.parts().items() for inside, path in part.found.files.items()
    }
    checksums: dict[str, str] = {}
    for name, path in files.items():
        storage.upload(path, storage.join(destination, name))
        checksums[name] = digests.sha256(path)
    text = yaml.safe_dump(_description(local), sort_keys=False, allow_unicode=True)
    storage.write_json(storage.join(destination, CHECKSUMS_FILE), checksums)
    # Last: a copy that was interrupted is not a bundle.
    storage.write_bytes(storage.join(destination, BUNDLE_FILE), text.encode())
    return checksums


def show_bundle(bundle: Bundle, *, resolve: bool = False) -> dict[str, Any]:
    """What `v2a models show` prints.

    Args:
        bundle: The bundle.
        resolve: Also fetch it and add paths, sizes, fingerprints, spaces and what the decoder must make.
    """
    settings = bundle.settings
    shown: dict[str, Any] = {
        "name": settings.name,
        "trained": settings.trained,
        "licence": settings.licence,
        "root": settings.root,
        **{name: part.model_dump() for name, part in settings.parts().items()},
        "checksums": len(settings.checksums),
    }
    if not resolve:
        return shown
    local = bundle.resolve()
    for name, part in local.parts().items():
        size = sum(path.stat().st_size for path in part.found.files.values())
        shown[name] |= {"path": str(part.path), "megabytes": round(size / 1e6, 1), "sha256": part.fingerprint}
    shown["spaces"] = {"vision": local.vision_space, "audio": local.audio_space}
    shown["media"] = vars(local.media_spec())
    return shown


def _description(local: LocalBundle) -> dict[str, Any]:
    """The bundle file of a copy; a config file is found beside the weights there."""
    copied = {
        name: part.settings.moved(f"./{name}" if part.path.is_dir() else f"./{name}/{part.path.name}")
        for name, part in local.parts().items()
    }
    return {
        "name": local.name,
        "trained": local.trained,
        "licence": local.licence,
        **{name: settings.model_dump() for name, settings in copied.items()},
    }
