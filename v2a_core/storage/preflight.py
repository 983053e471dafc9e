"""Is storage usable, before anything is loaded: list, read, write and delete, each tried on its own, in seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess, time_limits
from v2a_core.storage.access import is_web
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.filesystem import ObjectStore
from v2a_core.storage.public import public, public_text

T = TypeVar("T")

# A wrong address is told in seconds, a store that is slowed down still passes, and one that is silent is told of, too.
_ATTEMPTS, _TIMEOUT_S, _LONGEST_S = 5, 10.0, 20.0


def check_storage(catalog: Sequence[str], output: str, access: StorageAccess) -> dict[str, JSON]:
    """Try what a job will need.

    Args:
        catalog: The inputs as a person named them; those on this machine are left to the listing.
        output: Folder or URI of the output.
        access: How files are reached.

    Returns:
        What worked, for `--dry-run`.

    Raises:
        ConfigError: Naming what was denied, where, and why.
    """
    with _quickly(access):
        checked = [uri for uri in dict.fromkeys(catalog) if "://" in uri]
        return {"inputs": [_check_input(uri) for uri in checked], "output": check_output(output)}


def _check_input(uri: str) -> str:
    if is_web(uri) and "*" not in uri:
        # A web server lists no folder, and a signed link opens one file.
        _try("read", uri, lambda: _read_a_byte(uri))
        return f"read works: {public(uri)}"
    # What stands before the first wildcard, or the first range of shards, is listed.
    fixed = re.split(r"[*?\[{]", uri)[0]
    prefix = fixed if fixed == uri else fixed.rpartition("/")[0] + "/"
    first = _try("list", prefix, lambda: _first_file(prefix))
    if first is None:
        return f"list works: {public(uri)} (nothing there)"
    _try("read", first, lambda: _read_a_byte(first))
    return f"list and read work: {public(uri)}"


def check_output(output: str) -> str:
    """Try what writing an output needs; what did not exist before does not exist after.

    Returns:
        What worked.

    Raises:
        ConfigError: Naming what was denied, and why.
    """
    missing = _try("look", output, lambda: storage.missing_folders(output))
    with storage.gone_when_empty(missing):
        return _check_output(output)


def _check_output(output: str) -> str:
    probe = storage.join(output, f".probe-{uuid.uuid4().hex[:8]}")
    _try("list", output, lambda: _first_file(output))
    _try("write", probe, lambda: storage.write_bytes(probe, b"v2a"))
    problems = []
    for action, operation in (("read", lambda: storage.read_bytes(probe)), ("delete", lambda: _delete(probe))):
        try:
            _try(action, probe, operation)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return "list, write, read and delete work"


def _try(action: str, uri: str, operation: Callable[[], T]) -> T:
    try:
        return time_limits.within(_LONGEST_S + 2, public(uri), operation)
    except OSError as error:
        kind = "denied" if isinstance(error, PermissionError) else "not possible"
        # `from None`: the context of a request holds its signature.
        reason = public_text(f"{type(error).__name__}: {error}")
        raise ConfigError(f"storage: {action} is {kind} at {public(uri)}: {reason}") from None


def _first_file(uri: str) -> str | None:
    """One file at or below a URI, found without listing the rest; None without one."""
    fs, path = storage.filesystem(uri)
    if isinstance(fs, ObjectStore):
        bucket, key, _ = fs.split_path(path)
        listing = {"Bucket": bucket, "Prefix": key, "MaxKeys": 2}
        found = storage.attempt(uri, lambda: fs.call_s3("list_objects_v2", **listing))
        keys = [entry["Key"] for entry in found.get("Contents", []) if not entry["Key"].endswith("/")]
        return f"s3://{bucket}/{keys[0]}" if keys else None
    try:
        entries = storage.attempt(uri, lambda: fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return None
    names = [entry["name"] for entry in entries if entry["type"] == "file"]
    return fs.unstrip_protocol(names[0]) if names else None


def _read_a_byte(uri: str) -> None:
    with storage.open_read(uri) as file:
        file.read(1)


def _delete(uri: str) -> None:
    storage.remove(uri)
    if storage.exists(uri):
        raise OSError("it is still there")


@contextlib.contextmanager
def _quickly(access: StorageAccess) -> Iterator[None]:
    def quick(settings: StorageSettings) -> StorageSettings:
        limits = {
            "attempts": min(_ATTEMPTS, settings.attempts),
            "timeout_s": min(_TIMEOUT_S, settings.timeout_s),
            "fetch_timeout_s": min(_LONGEST_S, settings.longest_s),
        }
        return settings.model_copy(update=limits)

    places = tuple((place, quick(settings)) for place, settings in access.places)
    with storage.reach(dataclasses.replace(access, settings=quick(access.settings), places=places)):
        yield
