"""What comparisons of systems have in common: files are looked at, there is a manifest, what is inside is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2a_core import storage
from v2a_core.catalog.source import source_key
from v2a_core.config import ConfigError
from v2a_core.media.segments import digest
from v2a_core.metrics.systems.files import Files, inspect
from v2a_core.metrics.systems.places import LookedAt, by_id, list_place, look_at
from v2a_core.metrics.systems.sets import SoundSet, file_entry, sound_set, video_entry
from v2a_core.models import LocalBundle
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.storage.checksums import sha256_of
from workflows.evaluate.config import EvaluateJob
from workflows.streaming.run import describe_bundle

REFERENCES = "references"


@dataclass(frozen=True)
class System:
    """A system whose files were looked at.

    Attributes:
        name: As it was given.
        found: Its files by id.
        files: What is wrong with them.
        heard: Ids of those that are heard.
    """

    name: str
    found: Mapping[str, LookedAt]
    files: Files
    heard: tuple[str, ...]


def look(
    systems: Mapping[str, str], references: str | None, heard_s: float
) -> tuple[list[System], Mapping[str, LookedAt]]:
    """The files of all systems and of the references, by one kind of id.

    Args:
        systems: Folder, index or output of `v2a generate` of each system, by its name.
        references: Of the real sounds; None: there are none.
        heard_s: What is behind is not heard.

    Raises:
        ConfigError: When a place has no sounds, or ids that are not unique.
    """
    if REFERENCES in systems:
        raise ConfigError(f"a system cannot be called {REFERENCES!r}: that is what all of them are compared with")
    listed = {name: list_place(storage.canonical(place)) for name, place in systems.items()}
    if references is not None:
        listed[REFERENCES] = list_place(storage.canonical(references), videos=True)
    found = {
        name: dict(zip(places, look_at(list(places.values())), strict=True)) for name, places in by_id(listed).items()
    }
    wanted = found.pop(REFERENCES, {})
    looked = []
    for name, of_system in found.items():
        paired = wanted if wanted.keys() & of_system.keys() else None
        others = {key for other in found.values() for key in other}
        files = inspect(of_system, paired, others, heard_s)
        left_out = {*files.extra, *files.unreadable}
        looked.append(System(name, of_system, files, tuple(key for key in of_system if key not in left_out)))
    return looked, wanted


def new_manifest(name: str, identity: Mapping[str, JSON], local: LocalBundle, job: EvaluateJob) -> Manifest:
    """Of a comparison as a whole; what it holds has manifests of its own.

    Args:
        name: Of the job.
        identity: What the comparison depends on, and not its parts by themselves.
        local: The models.
        job: The configuration.
    """
    spaces, config = {"audio": local.audio_space}, job.model_dump(mode="json")
    return manifest.new(name, identity=identity, config=config, bundle=describe_bundle(local), spaces=spaces)


def close(
    output: str, claimed: Manifest, names: Sequence[str], outputs: Sequence[str], files: Mapping[str, Files]
) -> None:
    """Record what was written, so that what is lost or changed is noticed.

    Args:
        output: Folder or URI.
        claimed: Its manifest.
        names: Of the files that were written.
        outputs: The outputs inside, by their places.
        files: What was found of each system.
    """
    written: dict[str, JSON] = {name: sha256_of(storage.join(output, name))[0] for name in names}
    counts: dict[str, JSON] = {name: found.count for name, found in files.items()}
    manifest.close_output(
        output, claimed, {"status": "done", "counts": counts, "files": written, "outputs": [*outputs]}
    )


def content_of(item: LookedAt | None) -> str:
    """What changes when a reference does."""
    if item is None:
        return ""
    source = item.place.source
    return item.sha256 if source is None else digest(source_key(source), source.version)


def entry_of(key: str, item: LookedAt) -> dict[str, Any]:
    """An entry of a set of sounds."""
    source = item.place.source
    if source is None:
        return file_entry(key, key, item.place.uri, item.sha256)
    return video_entry(key, key, source, content_of(item), (0.0, 0.0))


def sounds_of(system: System) -> SoundSet:
    """What is heard of a system."""
    return sound_set([entry_of(key, system.found[key]) for key in system.heard])


def wanted_sounds(wanted: Mapping[str, LookedAt]) -> SoundSet | None:
    """What is heard of the references; None: there are none."""
    entries = [entry_of(key, item) for key, item in wanted.items() if not item.error]
    return sound_set(entries) if entries else None
