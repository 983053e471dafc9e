"""The checkpoints that a run's output keeps: which of them are whole, and what killed runs left half done.

A checkpoint describes itself: `checkpoint.json`, written last, names its step and the size and sha256 of its files. So
a torn, damaged or lost one is known before a run goes on from it, and the one before it is taken.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from v2a_core import storage

FOLDER = "checkpoints"
NOTE_FILE = "checkpoint.json"
CUT_SHORT = "its upload was cut short"
_PREFIX = "checkpoint_"  # Ray Train names them by the time
_BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class Kept:
    """A checkpoint of an output."""

    name: str
    step: int


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        good: Checkpoints to go on with, the newest last; that one was read as a whole.
        damaged: Names of the others, and what is wrong with each.
    """

    good: list[Kept]
    damaged: dict[str, str]

    def sentences(self) -> list[str]:
        """What a person should know, a sentence each; that a kill cut an upload short is nothing to say."""
        begun = f"going on from step {self.good[-1].step}" if self.good else "training starts anew"
        wrong = {name: what for name, what in self.damaged.items() if what != CUT_SHORT or not self.good}
        return [f"the checkpoint {name} is not whole ({what}): {begun}" for name, what in wrong.items()]


def describe(folder: Path, step: int) -> None:
    """Write `checkpoint.json` into a checkpoint that is complete but for it."""
    paths = [path for path in sorted(folder.iterdir()) if path.name != NOTE_FILE]
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _digest(str(path))} for path in paths}
    (folder / NOTE_FILE).write_text(json.dumps({"step": step, "files": files}, indent=2) + "\n", encoding="utf-8")


def upload(folder: Path, uri: str, step: int) -> None:
    """Copy a checkpoint to an output, file by file, its description last."""
    describe(folder, step)
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == NOTE_FILE, path.name)):
        storage.upload(path, storage.join(uri, path.name))


def check(output: str, *, every: bool = False) -> Checked:
    """Find the newest whole checkpoint of an output, and those before it.

    Args:
        output: Folder or URI.
        every: Read the content of all of them, not only of the newest.
    """
    base = storage.join(output, FOLDER)
    sizes = _sizes(base)
    notes: dict[str, _Note] = {}
    damaged: dict[str, str] = {}
    for name, files in sizes.items():
        try:
            notes[name] = _note(base, name, files)
        except ValueError as error:
            damaged[name] = str(error)
    good: list[Kept] = []
    for name in sorted(notes, key=lambda name: (notes[name].step, name), reverse=True):
        # Those before the one that a run goes on from are read when they are needed.
        wrong = "" if good and not every else _wrong_content(storage.join(base, name), notes[name].sha256)
        if wrong:
            damaged[name] = wrong
        else:
            good.insert(0, Kept(name, notes[name].step))
    return Checked(good, damaged)


def remove(output: str, checked: Checked) -> None:
    """Delete the checkpoints that are not whole."""
    for name in checked.damaged:
        uri = storage.join(output, FOLDER, name)
        fs, path = storage.filesystem(uri)
        if storage.is_local(uri):
            shutil.rmtree(path, ignore_errors=True)
        else:
            storage.attempt(uri, functools.partial(fs.rm, path, recursive=True))


def _sizes(base: str) -> dict[str, dict[str, int]]:
    """Checkpoints by name: their files and these files' bytes."""
    fs, path = storage.filesystem(base)
    fs.invalidate_cache()
    found: dict[str, dict[str, int]] = {}
    if not storage.exists(base):
        return found
    if storage.is_local(base):
        found = {item.name: {} for item in Path(path).iterdir() if item.is_dir() and item.name.startswith(_PREFIX)}
    for file, info in storage.attempt(base, lambda: fs.find(path, detail=True)).items():
        name, _, rest = file[len(path) :].lstrip("/").partition("/")
        if rest and name.startswith(_PREFIX):
            found.setdefault(name, {})[rest] = int(info["size"] or 0)
    return found


@dataclass(frozen=True)
class _Note:
    """What `NOTE_FILE` says: the step, and the digest of each file."""

    step: int
    sha256: dict[str, str]


def _note(base: str, name: str, files: dict[str, int]) -> _Note:
    """The note of a checkpoint whose files have these sizes.

    Raises:
        ValueError: When there is none, or its files are others.
    """
    if NOTE_FILE not in files:
        raise ValueError(CUT_SHORT)
    note = storage.read_json(storage.join(base, name, NOTE_FILE))
    try:
        expected = {file: int(facts["bytes"]) for file, facts in note["files"].items()}
        read = _Note(int(note["step"]), {file: str(facts["sha256"]) for file, facts in note["files"].items()})
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{NOTE_FILE} does not describe a checkpoint") from None
    for file, size in expected.items():
        if files.get(file) != size:
            raise ValueError(f"{file} has {files[file]} of {size} bytes" if file in files else f"{file} is missing")
    return read


def _wrong_content(uri: str, sha256: dict[str, str]) -> str:
    for name, expected in sha256.items():
        if _digest(storage.join(uri, name)) != expected:
            return f"the content of {name} is not what was written"
    return ""


def _digest(uri: str) -> str:
    digest = hashlib.sha256()
    with storage.open_read(uri, _BLOCK_BYTES) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
