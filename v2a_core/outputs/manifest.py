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
from typing import TypedDict, cast

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.protocols import JSON
from v2a_core.tables.schema import SCHEMA_VERSION
from v2a_core.version import program

FILE_NAME = "manifest.json"


class BundleRecord(TypedDict, total=False):
    """The models that an output depends on.

    Attributes:
        name: Of the bundle.
        trained: Whether its weights are trained.
        fingerprints: Of each model's weights, by its part in the bundle.
    """

    name: str
    trained: bool
    fingerprints: Mapping[str, str]


class Contents(TypedDict):
    """What an output holds: rows in all, and of each part by its file name."""

    rows: int
    parts: dict[str, int]


class Manifest(TypedDict, total=False):
    """What `manifest.json` says; it comes from a file, in which any key may be missing.

    Attributes:
        job: `embed`, `train`, `generate`, ...
        schema_version: Of the rows.
        output_id: Of this output, wherever it is moved to.
        program: Which program wrote it.
        identity: What every row depends on (models, segments, sampling, seed); equal for all runs on one output.
        spaces: The embedding spaces: `{"vision": ..., "audio": ...}`.
        bundle: The models.
        config: The full configuration of the last run that began.
        created: When the first run began.
        status: Of the last run: `running`, `done`, `unfinished`, ...
        counts: Of the last run that ended.
        runs: The summaries of the runs that ended.
        contents: The parts, of an output of rows.
    """

    job: str
    schema_version: int
    output_id: str
    program: dict[str, str]
    identity: Mapping[str, JSON]
    spaces: dict[str, str]
    bundle: BundleRecord
    config: Mapping[str, JSON]
    created: str
    status: str
    counts: JSON
    runs: list[Mapping[str, JSON]]
    contents: Contents


def new(
    job: str,
    *,
    identity: Mapping[str, JSON],
    config: Mapping[str, JSON],
    bundle: BundleRecord,
    spaces: dict[str, str],
) -> Manifest:
    """A manifest for an output that is about to be written; see `Manifest` for the arguments."""
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


def load(output: str) -> Manifest:
    """The manifest of an output, of whichever job and schema version.

    Raises:
        FileNotFoundError: When there is none.
        ValueError: When it is not JSON.
        ConfigError: When it is JSON, but not an object.
    """
    uri = storage.join(output, FILE_NAME)
    content = storage.read_json(uri)
    if not isinstance(content, dict):
        raise ConfigError(f"{uri} is no manifest: it is not a JSON object")
    return cast(Manifest, content)


def identity_digest(manifest: Manifest) -> str:
    """32 hexadecimal digits of what every row of an output depends on: job, schema version and identity."""
    canonical = json.dumps(_identifying(manifest), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def _identifying(manifest: Manifest) -> dict[str, JSON]:
    return {
        "job": manifest.get("job"),
        "schema_version": manifest.get("schema_version"),
        "identity": manifest.get("identity"),
    }


def recorded_identity(output: str) -> str | None:
    """The digest that the parts of an output carry; None without a manifest."""
    try:
        return identity_digest(load(output))
    except FileNotFoundError:
        return None


def part_metadata(manifest: Manifest, **more: str) -> dict[str, str]:
    """The key-value metadata of a part of this output: what it belongs to, and `more`, all in keys `v2a.*`."""
    values = {"schema_version": str(manifest["schema_version"]), "identity": identity_digest(manifest), **more}
    return {f"v2a.{key}": value for key, value in values.items()}


def open_output(output: str, manifest: Manifest) -> Manifest:
    """Claim `output` for a run: write its manifest, or take over the one of an earlier run.

    Raises:
        ConfigError: When the output was made by another job, schema or identity; names both sides.
    """
    earlier = same(output, manifest)
    opened = manifest if earlier is None else _carried_on(earlier, manifest)
    storage.write_json(storage.join(output, FILE_NAME), opened)
    return opened


def _carried_on(earlier: Manifest, manifest: Manifest) -> Manifest:
    """The manifest of a run that goes on with the output of an earlier one."""
    # The identity as it was first written: digests of equal values of other types (1 and 1.0) would differ.
    opened: Manifest = {
        **manifest,
        "identity": earlier["identity"],
        "output_id": earlier.get("output_id", manifest["output_id"]),
        "created": earlier.get("created", manifest["created"]),
        "runs": earlier.get("runs", manifest["runs"]),
    }
    if "contents" in earlier:
        opened["contents"] = earlier["contents"]
    return opened


def same(output: str, manifest: Manifest) -> Manifest | None:
    """The manifest of the earlier run that a run may go on with, None on a new output. Writes nothing.

    Raises:
        ConfigError: When the output was made by another job, schema or identity, or is of other embedding spaces; names
            both sides.
    """
    try:
        earlier = load(output)
    except FileNotFoundError:
        return None
    # Equal weights may stand for other spaces: sounds come to them by another path in another version.
    differences = _differences(_identifying(earlier), _identifying(manifest))
    differences += _differences(earlier.get("spaces"), manifest.get("spaces"), "spaces")
    if differences:
        raise ConfigError(
            f"{output} was made differently; use another --output, or the same settings:\n" + "\n".join(differences)
        )
    return earlier


def close_output(
    output: str, manifest: Manifest, summary: Mapping[str, JSON], parts: Mapping[str, int] | None = None
) -> None:
    """Complete the manifest with what the run did.

    Args:
        output: Folder or URI.
        manifest: As `open_output` gave it.
        summary: Of the run.
        parts: Rows of each part that was found or written, by file name. Those that earlier runs recorded stay
            recorded: a part that was lost since is missed until somebody decides to do without it.
    """
    complete: Manifest = {
        **manifest,
        "status": str(summary["status"]),
        "counts": summary["counts"],
        "runs": [*manifest["runs"], {"finished": _now(), **summary}],
    }
    if parts is not None:
        complete["contents"] = contents({**recorded_parts(manifest), **parts})
    storage.write_json(storage.join(output, FILE_NAME), complete)


def contents(parts: Mapping[str, int]) -> Contents:
    """What an output holds, as its manifest records it."""
    return {"rows": sum(parts.values()), "parts": dict(sorted(parts.items()))}


def recorded_parts(manifest: Manifest) -> dict[str, int]:
    """Rows of each part that a manifest records, by file name."""
    return dict(manifest["contents"].get("parts") or {}) if manifest.get("contents") else {}


def group(values: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    """A group of settings as an identity records it; empty where it records none."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def read(output: str, *, job: str) -> Manifest:
    """The manifest of an output of `job`.

    Raises:
        ConfigError: When there is none, or it is of another job or schema version.
    """
    try:
        manifest = load(output)
    except FileNotFoundError:
        raise ConfigError(f"{output} has no {FILE_NAME}: it is not an output of `v2a {job}`") from None
    if manifest.get("job") != job:
        raise ConfigError(f"{output} is an output of `v2a {manifest.get('job')}`, an output of `v2a {job}` is needed")
    check_version(output, manifest)
    return manifest


def check_own(output: str, job: str) -> None:
    """Refuse to go on with an output whose rows this program does not know.

    Raises:
        ConfigError: When it is of another job or schema version.
    """
    if storage.exists(storage.join(output, FILE_NAME)):
        read(output, job=job)


def check_version(output: str, manifest: Manifest) -> None:
    """Refuse an output of another schema version; says which program wrote it.

    Raises:
        ConfigError: When it is of another.
    """
    found = manifest.get("schema_version")
    if found != SCHEMA_VERSION:
        made_by = manifest["program"].get("version") if manifest.get("program") else None
        raise ConfigError(
            f"{output} has schema version {found} (written by v2a {made_by or 'another version'}), this program "
            f"reads and writes {SCHEMA_VERSION}: make it anew, `v2a {manifest.get('job')} ... --output` with another "
            "folder"
        )


def _differences(earlier: JSON, now: JSON, key: str = "") -> list[str]:
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        names = sorted({*earlier, *now})
        return [line for name in names for line in _differences(earlier.get(name), now.get(name), f"{key}.{name}")]
    return [] if earlier == now else [f"  {key.removeprefix('.')}: the output has {earlier!r}, this run {now!r}"]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
