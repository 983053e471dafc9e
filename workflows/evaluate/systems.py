"""`v2a evaluate --system NAME=PLACE ...`: several systems, whoever made them, by one protocol in one table."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from v2a_core import storage
from v2a_core.media.config import SegmentSettings
from v2a_core.media.segments import digest
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.clap_sets import ClapSounds
from v2a_core.metrics.systems.files import Files, files_to_markdown
from v2a_core.metrics.systems.measure import Measured, SetResult, differences, joined
from v2a_core.metrics.systems.places import LookedAt
from v2a_core.metrics.systems.row_metrics import row_results
from v2a_core.metrics.systems.table import not_heard_to_markdown, sets_to_markdown
from v2a_core.models import LocalBundle, load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import hold
from v2a_core.protocols import JSON
from v2a_core.stages.round_trip import check_round_trip
from v2a_core.storage import StorageAccess
from v2a_core.tables import arrays
from v2a_core.tables.clips import CLIPS_FILE, SOUNDS_FILE
from v2a_core.tables.features import SOUNDS
from v2a_core.tables.schema import EMBEDDING_DIM, INDEX
from workflows.command.arguments import Asked
from workflows.evaluate import asides
from workflows.evaluate import job as evaluate
from workflows.evaluate.asides import kind_folder, known_sounds
from workflows.evaluate.clips import write_clips
from workflows.evaluate.comparison import (
    REFERENCES,
    System,
    close,
    content_of,
    entry_of,
    look,
    new_manifest,
    sounds_of,
    wanted_sounds,
)
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import Asking, bundle_weights, chosen_weights
from workflows.evaluate.report import JSON_FILE, TABLE_FILE, provenance, read_evaluated, write_report
from workflows.evaluate.sets import Compared, compare, feature_outputs
from workflows.streaming.job import Request
from workflows.streaming.run import Entrance
from workflows.streaming.run import run as run_streaming

NAME = "evaluate --system"  # of the job, in the manifest
SYSTEMS_FOLDER = "systems"
_INDEX = pa.schema(
    [
        *(item for item in INDEX if item.name != "conditions"),
        pa.field("reference", pa.string()),
        pa.field("reference_known", pa.list_(pa.string())),
    ]
)


def run(
    systems: Mapping[str, str],
    references: str | None,
    output: str,
    job: EvaluateJob,
    *,
    embeddings: str | None = None,
    pairs: Sequence[tuple[str, str]] = (),
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
        pairs: Systems whose differences are told, too: the first minus the second.
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
        looked, wanted = look(systems, references, PROTOCOLS[job.protocol].length_s)
        files = {system.name: system.files for system in looked}
        print(files_to_markdown(files), flush=True)
        if asked.get("dry_run"):
            return {"files": {name: found.to_dict() for name, found in files.items()}}
        bundle = load_bundle(asked.get("models", Request.models))
        local = bundle.resolve()
        weights |= bundle_weights(job, bundle, local)
        if job.round_trip:
            check_round_trip(local)
        mine = new_manifest(NAME, {"protocol": job.protocol}, local, job)
        manifest.same(output, mine)
        with hold(output, NAME, steal=asked.get("steal", False)):
            claimed = manifest.open_output(output, mine)
            indexes = {item.name: _hear(item, wanted, output, weights, job, asked) for item in looked}
            compared = replace(_compared(output, (looked, wanted), local, job), embeddings=embeddings, weights=weights)
            measured = _measured(compared, indexes, provenance(local, weights, job), job, asked)
            content = _write(output, measured, files, {REFERENCES: references, **systems}, job, pairs)
            write_clips(output, looked, wanted, measured)
            outputs = [f"{SYSTEMS_FOLDER}/{item.name}" for item in looked if item.heard]
            outputs += feature_outputs(compared)
            close(output, claimed, (JSON_FILE, TABLE_FILE, SOUNDS_FILE, CLIPS_FILE), outputs, files)
        return content


def _compared(
    output: str, sounds: tuple[Sequence[System], Mapping[str, LookedAt]], local: LocalBundle, job: EvaluateJob
) -> Compared:
    """What is compared, before it is known what hears it."""
    looked, wanted = sounds
    systems, reference = {item.name: sounds_of(item) for item in looked}, wanted_sounds(wanted)
    originals = reference.members() if reference else {}
    return Compared(
        output,
        systems,
        reference,
        None,
        {},
        PROTOCOLS[job.protocol],
        {name: ClapSounds(found.members(), originals) for name, found in systems.items()},
        round_trip=local.fingerprints()["generator"] if job.round_trip else "",
    )


def _measured(
    compared: Compared,
    indexes: Mapping[str, pa.Table],
    made_by: Mapping[str, tuple[str, str]],
    job: EvaluateJob,
    asked: Asked,
) -> Measured:
    """All metrics of every system: those of rows, then those of sets.

    Args:
        compared: What.
        indexes: Of each system, by its name.
        made_by: The extractors of each metric of rows, and the sha256 of their weights.
        job: The configuration.
        asked: Models, address, ...
    """
    measured, results = compare(compared, job, asked), dict[str, list[SetResult]]()
    for name, index in indexes.items():
        rows = read_evaluated(storage.join(compared.output, SYSTEMS_FOLDER, name), index, job.metrics)
        rows = joined(rows, measured, name, "source_name")
        found = row_results(rows, made_by, PROTOCOLS[job.protocol], job.metrics)
        results[name] = [*found, *measured.results[name]]
    return replace(measured, results=results)


def _hear(
    system: System,
    wanted: Mapping[str, LookedAt],
    folder: str,
    weights: Mapping[str, Weights],
    job: EvaluateJob,
    asked: Asked,
) -> pa.Table:
    """Hear what a system has no row of; references that were heard for another system are not heard again.

    Returns:
        Its index.
    """
    output = storage.join(folder, SYSTEMS_FOLDER, system.name)
    index = _index(system, wanted, _known(folder, weights, job))
    identity: dict[str, JSON] = {"system": system.name}
    soundtracks = evaluate.Soundtracks("", index, SegmentSettings(whole=True), identity)
    opened = functools.partial(evaluate.open_evaluation, job, None, {}, asked, folder)
    if system.heard:
        entrance = Entrance(evaluate.LISTEN, job, inputs=[], listed=lambda _: soundtracks, opened=opened)
        run_streaming(Request(output, **asked), entrance)
    return index


def _known(folder: str, weights: Mapping[str, Weights], job: EvaluateJob) -> dict[str, Collection[str]]:
    """Ids of the references that each rider has heard, by its name."""
    asked = {name: Asking(weights[name], PROTOCOLS[job.protocol]) for name in asides.RIDERS if name in weights}
    return {name: set(known_sounds(kind_folder(folder, asides.REFERENCES, of))) for name, of in asked.items()}


def _index(system: System, wanted: Mapping[str, LookedAt], known: Mapping[str, Collection[str]]) -> pa.Table:
    """The files of a system as an index of soundtracks, with the reference of each.

    Args:
        system: Which.
        wanted: The references, by id.
        known: Ids of their sounds that were heard for other systems, by the names of the extractors.
    """
    rows: list[dict[str, object]] = []
    conditions: list[arrays.Array | None] = []
    for key in system.heard:
        item, reference = system.found[key], wanted.get(key)
        about, heard = (reference or item).place, _reference(key, reference)
        conditions.append(None if item.place.condition is None else item.place.condition[None])
        rows.append(
            {
                "source_id": digest(item.sha256, key, content_of(reference)),
                "source_key": digest(system.name, key),
                "source_uri": item.place.uri,
                "source_name": key,
                "kind": "video",
                "label": about.label or item.place.label,
                "caption": about.caption or item.place.caption,
                "duration_s": item.length_s,
                "segment_ids": [digest(item.sha256, key, content_of(reference), 0)],
                "starts_s": [0.0],
                "audio_path": item.place.uri,
                "audio_sha256": item.sha256,
                "reference": json.dumps(heard) if heard else "",
                "reference_known": [name for name, sounds in known.items() if heard and heard["sound_id"] in sounds],
            }
        )
    column = arrays.vector_lists(conditions, EMBEDDING_DIM, np.float32)
    return pa.Table.from_pylist(rows, schema=_INDEX).append_column("conditions", column)


def _reference(key: str, item: LookedAt | None) -> dict[str, Any]:
    """A row of `features.SOUNDS`; empty without a reference that can be heard."""
    entry = entry_of(key, item) if item and not item.error else {}
    return {name: entry[name] for name in SOUNDS.names if name in entry}


def _write(
    output: str,
    measured: Measured,
    files: Mapping[str, Files],
    places: Mapping[str, str | None],
    job: EvaluateJob,
    pairs: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Write and print the comparison."""
    confidence, results = job.metrics.confidence, measured.results
    content: dict[str, Any] = {
        "places": places,
        "protocol": PROTOCOLS[job.protocol].describe(),
        "confidence": confidence,
        "files": {name: found.to_dict() for name, found in files.items()},
        "not_heard": measured.not_heard,
        "systems": {
            name: {result.name: result.to_dict(confidence) for result in found} for name, found in results.items()
        },
        "differences": {
            name: {system: score.to_dict() for system, score in scores.items()}
            for name, scores in differences(results, confidence).items()
        },
        "pairs": [_pair(results, first, second, confidence) for first, second in pairs],
    }
    text = files_to_markdown(files) + sets_to_markdown(results, confidence) + not_heard_to_markdown(measured.not_heard)
    write_report(output, content, text)
    return content


def _pair(
    results: Mapping[str, Sequence[SetResult]], first: str, second: str, confidence: float
) -> dict[str, str | dict[str, Any]]:
    """The first system minus the second, by metric."""
    found = differences({second: results[second], first: results[first]}, confidence)
    return {"first": first, "second": second, "differences": {name: found[name][first].to_dict() for name in found}}
