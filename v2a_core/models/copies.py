"""A bundle told to a person, and copied to a folder or bucket for machines that reach nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from v2a_core import storage
from v2a_core.models import digests, lock
from v2a_core.models.bundle import BUNDLE_FILE, CHECKSUMS_FILE, Bundle
from v2a_core.models.local import LocalBundle
from v2a_core.protocols import JSON


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
    lock.write(lock.lock(bundle, local), destination)
    # Last: a copy that was interrupted is not a bundle.
    storage.write_bytes(storage.join(destination, BUNDLE_FILE), text.encode())
    return checksums


def show_bundle(bundle: Bundle, *, resolve: bool = False) -> dict[str, JSON]:
    """What `v2a models show` prints.

    Args:
        bundle: The bundle.
        resolve: Also fetch it and add paths, sizes, fingerprints, spaces and what the decoder must make.
    """
    settings = bundle.settings
    shown: dict[str, JSON] = {
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
        found: dict[str, JSON] = {"path": str(part.path), "megabytes": round(size / 1e6, 1), "sha256": part.fingerprint}
        said: dict[str, JSON] = part.settings.model_dump()
        shown[name] = {**said, **found}
    found_lock = lock.find(bundle)
    if found_lock:
        place, locked = found_lock
        shown["lock"] = {"file": place, "differences": [*lock.differences(locked, lock.lock(bundle, local))]}
    shown["spaces"] = {"vision": local.vision_space, "audio": local.audio_space}
    shown["media"] = dict(vars(local.media_spec()))
    return shown


def changed_since_lock(shown: Mapping[str, JSON]) -> list[str]:
    """What of a bundle that was shown is not as its lock says; nothing without a lock."""
    found = shown.get("lock")
    lines = found.get("differences") if isinstance(found, dict) else None
    return [str(line) for line in lines] if isinstance(lines, list) else []


def _description(local: LocalBundle) -> dict[str, JSON]:
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
