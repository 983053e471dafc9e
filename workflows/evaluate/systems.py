"""`v2a evaluate --system NAME=PLACE ...`: several systems, whoever made them, by one protocol in one table."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from v2a_core import storage
from v2a_core.catalog.source import source_key
from v2a_core.config import ConfigError
from v2a_core.media.config import SegmentSettings
from v2a_core.media.segments import digest
from v2a_core.metrics import inputs
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.files import Files, files_to_markdown, inspect
from v2a_core.metrics.systems.measure import SetResult, differences
from v2a_core.metrics.systems.places import LookedAt, by_id, list_place, look_at
from v2a_core.metrics.systems.row_metrics import row_results
from v2a_core.metrics.systems.sets import SoundSet, file_entry, sound_set, video_entry
from v2a_core.metrics.systems.table import sets_to_markdown
from v2a_core.models import load_bundle
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from v2a_core.tables import arrays
from v2a_core.tables.features import SOUNDS
from v2a_core.tables.schema import EMBEDDING_DIM, INDEX
from workflows.command.arguments import Asked
from workflows.evaluate import job as evaluate
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import chosen_weights
from workflows.evaluate.report import JSON_FILE, TABLE_FILE, provenance, read_evaluated
from workflows.evaluate.sets import Compared, compare
from workflows.streaming.job import Request
from workflows.streaming.run import Entrance
from workflows.streaming.run import run as run_streaming

SYSTEMS_FOLDER = "systems"
_REFERENCES = "references"
_INDEX = pa.schema([*(item for item in INDEX if item.name != "conditions"), pa.field("reference", pa.string())])


@dataclass(frozen=True)
class _System:
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


def run(
    systems: Mapping[str, str],
    references: str | None,
    output: str,
    job: EvaluateJob,
    *,
    embeddings: str | None = None,
    **asked: Unpack[Asked],
) -> dict[str, Any]:
    """Evaluate each system, then compare them.

    Args:
        systems: Folder, index or output of `v2a generate` of each system, by its name; the first is what the others
            are compared with.
        references: The same of the real sounds, or of videos that have sound; None: there are none.
        output: Folder or URI: `metrics.json`, `metrics.md`, `systems/NAME/`, `features/`.
        job: The configuration.
        embeddings: Folder or URI that `v2a embed` wrote of the videos, for the CLIP score.
        asked: Models, dry run, address, ...

    Returns:
        What `metrics.json` says.

    Raises:
        ConfigError: Wrong configuration, a place without sounds, ids that are not unique.
    """
    output = storage.canonical(output)
    access = StorageAccess.of_job(job.storage, output, job.output_storage)
    with storage.reach(access):
        weights = chosen_weights(job)
        looked, wanted = _look(systems, references, job)
        files = {system.name: system.files for system in looked}
        print(files_to_markdown(files), flush=True)
        if asked.get("dry_run"):
            return {"files": {name: found.to_dict() for name, found in files.items()}}
        folder = storage.join(output, SYSTEMS_FOLDER)
        results = {item.name: _evaluate(item, wanted, folder, job, asked) for item in looked}
        sets = {item.name: _made(item) for item in looked}
        compared = Compared(output, sets, _wanted(wanted), embeddings, weights)
        measured = compare(compared, job, asked).results
        together = {name: [*results[name], *measured[name]] for name in results}
        return _write(output, together, files, references, job)


def _look(
    systems: Mapping[str, str], references: str | None, job: EvaluateJob
) -> tuple[list[_System], Mapping[str, LookedAt]]:
    """The files of all systems and of the references, by one kind of id."""
    if _REFERENCES in systems:
        raise ConfigError(f"a system cannot be called {_REFERENCES!r}: that is what all of them are compared with")
    listed = {name: list_place(storage.canonical(place)) for name, place in systems.items()}
    if references is not None:
        listed[_REFERENCES] = list_place(storage.canonical(references), videos=True)
    found = {
        name: dict(zip(places, look_at(list(places.values())), strict=True)) for name, places in by_id(listed).items()
    }
    wanted = found.pop(_REFERENCES, {})
    heard_s = PROTOCOLS[job.protocol].length_s
    looked = []
    for name, of_system in found.items():
        paired = wanted if wanted.keys() & of_system.keys() else None
        others = {key for other in found.values() for key in other}
        files = inspect(of_system, paired, others, heard_s)
        left_out = {*files.extra, *files.unreadable}
        looked.append(_System(name, of_system, files, tuple(key for key in of_system if key not in left_out)))
    return looked, wanted


def _evaluate(
    system: _System, wanted: Mapping[str, LookedAt], folder: str, job: EvaluateJob, asked: Asked
) -> list[SetResult]:
    """The metrics of rows of one system, from rows of its own."""
    output = storage.join(folder, system.name)
    index = _index(system, wanted)
    identity: dict[str, JSON] = {"system": system.name}
    soundtracks = evaluate.Soundtracks("", index, SegmentSettings(whole=True), identity)
    opened = functools.partial(evaluate.open_evaluation, job, None, {}, asked)
    if system.heard:
        entrance = Entrance(evaluate.Evaluation.name, job, inputs=[], listed=lambda _: soundtracks, opened=opened)
        run_streaming(Request(output, **asked), entrance)
    local = load_bundle(asked.get("models", Request.models)).resolve()
    made_by = provenance(local.fingerprints()["audio"], job.judge or inputs.own_judge(local), job)
    return row_results(read_evaluated(output, index), made_by, PROTOCOLS[job.protocol], job.metrics)


def _index(system: _System, wanted: Mapping[str, LookedAt]) -> pa.Table:
    """The files of a system as an index of soundtracks, with the reference of each."""
    rows: list[dict[str, object]] = []
    conditions: list[arrays.Array | None] = []
    for key in system.heard:
        item, reference = system.found[key], wanted.get(key)
        about = (reference or item).place
        conditions.append(None if item.place.condition is None else item.place.condition[None])
        rows.append(
            {
                "source_id": digest(item.sha256, key, _content(reference)),
                "source_key": digest(system.name, key),
                "source_uri": item.place.uri,
                "source_name": key,
                "kind": "video",
                "label": about.label or item.place.label,
                "caption": about.caption or item.place.caption,
                "duration_s": item.length_s,
                "segment_ids": [digest(item.sha256, key, _content(reference), 0)],
                "starts_s": [0.0],
                "audio_path": item.place.uri,
                "audio_sha256": item.sha256,
                "reference": json.dumps(_reference(key, reference)) if reference and not reference.error else "",
            }
        )
    column = arrays.vector_lists(conditions, EMBEDDING_DIM, np.float32)
    return pa.Table.from_pylist(rows, schema=_INDEX).append_column("conditions", column)


def _reference(key: str, item: LookedAt) -> dict[str, Any]:
    entry = _entry(key, item)
    return {name: entry[name] for name in SOUNDS.names}


def _content(item: LookedAt | None) -> str:
    """What changes when a reference does."""
    if item is None:
        return ""
    source = item.place.source
    return item.sha256 if source is None else digest(source_key(source), source.version)


def _entry(key: str, item: LookedAt) -> dict[str, Any]:
    source = item.place.source
    if source is None:
        return file_entry(key, key, item.place.uri, item.sha256)
    return video_entry(key, key, source, _content(item), (0.0, 0.0))


def _made(system: _System) -> SoundSet:
    return sound_set([_entry(key, system.found[key]) for key in system.heard])


def _wanted(wanted: Mapping[str, LookedAt]) -> SoundSet | None:
    entries = [_entry(key, item) for key, item in wanted.items() if not item.error]
    return sound_set(entries) if entries else None


def _write(
    output: str,
    results: Mapping[str, Sequence[SetResult]],
    files: Mapping[str, Files],
    references: str | None,
    job: EvaluateJob,
) -> dict[str, Any]:
    """Write and print the comparison."""
    confidence = job.metrics.confidence
    content: dict[str, Any] = {
        "references": references,
        "protocol": PROTOCOLS[job.protocol].describe(),
        "confidence": confidence,
        "files": {name: found.to_dict() for name, found in files.items()},
        "systems": {
            name: {result.name: result.to_dict(confidence) for result in found} for name, found in results.items()
        },
        "differences": {
            name: {system: score.to_dict() for system, score in scores.items()}
            for name, scores in differences(results, confidence).items()
        },
    }
    text = files_to_markdown(files) + sets_to_markdown(results, confidence)
    storage.write_json(storage.join(output, JSON_FILE), content)
    storage.write_bytes(storage.join(output, TABLE_FILE), text.encode())
    print(text, flush=True)
    return content
