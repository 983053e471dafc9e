"""The manifest of an output: what made it, so that a reader can refuse what does not fit.

`manifest.json` is written before the first row and completed after the last. Its `identity` is what every row of the
output depends on; a run that would mix two identities in one output is refused. Each part of the output carries the
identity's digest, and the manifest the name of each part: a part of another output is noticed, and one that is gone.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.tables.schema import SCHEMA_VERSION
from v2a_core.version import program

FILE_NAME = "manifest.json"
_IDENTIFYING = ("job", "schema_version", "identity")
_CARRIED_ON = ("identity", "output_id", "created", "runs", "contents")


def new(
    job: str, *, identity: dict[str, Any], config: dict[str, Any], bundle: dict[str, Any], spaces: dict[str, str]
) -> dict[str, Any]:
    """A manifest for an output that is about to be written.

    Args:
        job: `embed`, `train`, `generate`, ...
        identity: What every row depends on (models, segments, sampling, seed); equal for all runs on one output.
        config: The full configuration of this run.
        bundle: Name, fingerprints and `trained` of the models.
        spaces: The embedding spaces: `{"vision": ..., "audio": ...}`.
    """
    return {
        "job": job,
        "schema_version": SCHEMA_VERSION,
        "output_id": uuid.uuid4().hex,
        "program": program(),
        "identity": identity,
        "spaces": spaces,
        "bundle": bundle,
        "config": config,
        "created": _now(),
        "status": "running",
        "runs": [],
    }


def identity_digest(manifest: Mapping[str, Any]) -> str:
    """32 hexadecimal digits of what every row of an output depends on: job, schema version and identity."""
    told = {key: manifest.get(key) for key in _IDENTIFYING}
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def recorded_identity(output: str) -> str | None:
    """The digest that the parts of an output carry; None without a manifest."""
    try:
        return identity_digest(storage.read_json(storage.join(output, FILE_NAME)))
    except FileNotFoundError:
        return None


def part_metadata(manifest: Mapping[str, Any], **more: str) -> dict[str, str]:
    """The key-value metadata of a part of this output: what it belongs to, and `more`, all in keys `v2a.*`."""
    told = {"schema_version": str(manifest["schema_version"]), "identity": identity_digest(manifest), **more}
    return {f"v2a.{key}": value for key, value in told.items()}


def open_output(output: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Claim `output` for a run: write its manifest, or take over the one of an earlier run.

    Raises:
        ConfigError: When the output was made by another job, schema or identity; names both sides.
    """
    uri, earlier = storage.join(output, FILE_NAME), same(output, manifest)
    if earlier is None:
        storage.write_json(uri, manifest)
        return manifest
    # The identity as it was first written: digests of equal values of other types (1 and 1.0) would differ.
    taken = {**manifest, **{key: earlier[key] for key in _CARRIED_ON if key in earlier}}
    storage.write_json(uri, taken)
    return taken


def same(output: str, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the earlier run that a run may go on with, None on a new output. Writes nothing.

    Raises:
        ConfigError: When the output was made by another job, schema or identity; names both sides.
    """
    try:
        earlier: dict[str, Any] = storage.read_json(storage.join(output, FILE_NAME))
    except FileNotFoundError:
        return None
    differences = _differences(
        {key: earlier.get(key) for key in _IDENTIFYING}, {key: manifest[key] for key in _IDENTIFYING}
    )
    if differences:
        raise ConfigError(
            f"{output} was made differently; use another --output, or the same settings:\n" + "\n".join(differences)
        )
    return earlier


def close_output(
    output: str, manifest: dict[str, Any], summary: dict[str, Any], parts: Mapping[str, int] | None = None
) -> None:
    """Complete the manifest with what the run did.

    Args:
        output: Folder or URI.
        manifest: As `open_output` gave it.
        summary: Of the run.
        parts: Rows of each part that was found or written, by file name. Those that earlier runs recorded stay
            recorded: a part that was lost since is missed until somebody decides to do without it.
    """
    runs = [*manifest["runs"], {"finished": _now(), **summary}]
    complete = {**manifest, "status": summary["status"], "counts": summary["counts"], "runs": runs}
    if parts is not None:
        complete["contents"] = contents({**recorded_parts(manifest), **parts})
    storage.write_json(storage.join(output, FILE_NAME), complete)


def contents(parts: Mapping[str, int]) -> dict[str, Any]:
    """What an output holds, as its manifest records it: rows in all, and of each part by its file name."""
    return {"rows": sum(parts.values()), "parts": dict(sorted(parts.items()))}


def recorded_parts(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Rows of each part that a manifest records, by file name."""
    return dict((manifest.get("contents") or {}).get("parts") or {})


def read(output: str, *, job: str) -> dict[str, Any]:
    """The manifest of an output of `job`.

    Raises:
        ConfigError: When there is none, or it is of another job or schema version.
    """
    try:
        manifest = storage.read_json(storage.join(output, FILE_NAME))
    except FileNotFoundError:
        raise ConfigError(f"{output} has no {FILE_NAME}: it is not an output of `v2a {job}`") from None
    if manifest.get("job") != job:
        raise ConfigError(f"{output} is an output of `v2a {manifest.get('job')}`, an output of `v2a {job}` is needed")
    check_version(output, manifest)
    return dict(manifest)


def check_own(output: str, job: str) -> None:
    """Refuse to go on with an output whose rows this program does not know.

    Raises:
        ConfigError: When it is of another job or schema version.
    """
    if storage.exists(storage.join(output, FILE_NAME)):
        read(output, job=job)


def check_version(output: str, manifest: Mapping[str, Any]) -> None:
    """Refuse an output of another schema version; says which program wrote it.

    Raises:
        ConfigError: When it is of another.
    """
    found = manifest.get("schema_version")
    if found != SCHEMA_VERSION:
        job, made_by = manifest.get("job"), (manifest.get("program") or {}).get("version", "another version")
        raise ConfigError(
            f"{output} has schema version {found} (written by v2a {made_by}), this program reads and writes "
            f"{SCHEMA_VERSION}: make it anew, `v2a {job} ... --output` with another folder"
        )


def _differences(earlier: Any, now: Any, key: str = "") -> list[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        names = sorted({*earlier, *now})
        return [line for name in names for line in _differences(earlier.get(name), now.get(name), f"{key}.{name}")]
    return [] if earlier == now else [f"  {key.removeprefix('.')}: the output has {earlier!r}, this run {now!r}"]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
