"""The manifest of an output: what made it, so that a reader can refuse what does not fit.

`manifest.json` is written before the first row and completed after the last. Its `identity` is what every row of the
output depends on; a run that would mix two identities in one output is refused.
"""

from __future__ import annotations

import time
from typing import Any

from v2a_core import __version__, storage
from v2a_core.config import ConfigError
from v2a_core.schema import SCHEMA_VERSION

FILE_NAME = "manifest.json"


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
        "program": {"name": "v2a", "version": __version__},
        "identity": identity,
        "spaces": spaces,
        "bundle": bundle,
        "config": config,
        "created": _now(),
        "status": "running",
        "runs": [],
    }


def open_output(output: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Claim `output` for a run: write its manifest, or take over the one of an earlier run.

    Raises:
        ConfigError: When the output was made by another job, schema or identity; names both sides.
    """
    uri = storage.join(output, FILE_NAME)
    try:
        earlier = storage.read_json(uri)
    except FileNotFoundError:
        storage.write_json(uri, manifest)
        return manifest
    differences = _differences(
        {key: earlier.get(key) for key in ("job", "schema_version", "identity")},
        {key: manifest[key] for key in ("job", "schema_version", "identity")},
    )
    if differences:
        raise ConfigError(
            f"{output} was made differently; use another --output, or the same settings:\n" + "\n".join(differences)
        )
    taken = {**manifest, "created": earlier["created"], "runs": earlier.get("runs", [])}
    storage.write_json(uri, taken)
    return taken


def close_output(
    output: str, manifest: dict[str, Any], summary: dict[str, Any], contents: dict[str, int] | None = None
) -> None:
    """Complete the manifest with what the run did, and with what the output holds in all (rows, parts)."""
    runs = [*manifest["runs"], {"finished": _now(), **summary}]
    complete = {**manifest, "status": summary["status"], "counts": summary["counts"], "runs": runs}
    if contents is not None:
        complete["contents"] = contents
    storage.write_json(storage.join(output, FILE_NAME), complete)


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
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(
            f"{output} has schema version {manifest.get('schema_version')}, this program reads {SCHEMA_VERSION}"
        )
    return dict(manifest)


def _differences(earlier: Any, now: Any, key: str = "") -> list[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        names = sorted({*earlier, *now})
        return [line for name in names for line in _differences(earlier.get(name), now.get(name), f"{key}.{name}")]
    return [] if earlier == now else [f"  {key.removeprefix('.')}: the output has {earlier!r}, this run {now!r}"]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
