"""`v2a evaluate --calibrate`: released samples of systems in every way of hearing, beside their published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.metrics.extractors.folder import ListeningExtractor, Weights, folder_extractor, listening_extractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.calibration import METRICS, PUBLISHED, agreements, calibration_to_markdown, grid
from v2a_core.metrics.systems.files import Files, files_to_markdown
from v2a_core.metrics.systems.measure import SetResult
from v2a_core.metrics.systems.sets import SoundSet
from v2a_core.models import load_bundle
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import hold
from v2a_core.outputs.manifest import Manifest
from v2a_core.storage import StorageAccess
from workflows.command.arguments import Asked
from workflows.evaluate.comparison import close, look, new_manifest, sounds_of, wanted_sounds
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import chosen_weights
from workflows.evaluate.sets import Compared, compare, feature_outputs
from workflows.streaming.job import Request

NAME = "evaluate --calibrate"  # of the job, in the manifest
JSON_FILE, TABLE_FILE = "calibration.json", "calibration.md"

Cells = dict[str, list[SetResult]]


@dataclass(frozen=True)
class _Calibrated:
    """What is heard in every way."""

    output: str
    sets: Mapping[str, SoundSet]
    reference: SoundSet | None
    embeddings: str | None
    weights: Mapping[str, Weights]


def run(
    systems: Mapping[str, str],
    references: str,
    output: str,
    job: EvaluateJob,
    *,
    embeddings: str | None = None,
    **asked: Unpack[Asked],
) -> dict[str, Any]:
    """Hear released samples and their references in every way, and compare with what was published.

    Args:
        systems: Folder or index of each system's samples, by its name; those of `PUBLISHED` have numbers to agree with.
        references: The same of the real sounds, or videos that have sound.
        output: Folder or URI: `calibration.json`, `calibration.md`, `features/`.
        job: The configuration; its protocol has no part in this.
        embeddings: Folder or URI that `v2a embed` wrote of the videos, for the CLIP score.
        asked: Models, dry run, address, ...

    Returns:
        What `calibration.json` says.

    Raises:
        ConfigError: Wrong configuration, no network, a place without sounds, ids that are not unique.
    """
    output = storage.canonical(output)
    with storage.reach(StorageAccess.of_job(job.storage, output, job.output_storage)):
        weights = _networks(job)
        looked, wanted = look(systems, references, max(protocol.length_s for protocol in grid()))
        files = {system.name: system.files for system in looked}
        print(files_to_markdown(files), flush=True)
        if asked.get("dry_run"):
            return {"files": {name: found.to_dict() for name, found in files.items()}}
        mine = new_manifest(NAME, {"grid": [protocol.name for protocol in grid()]}, _local(asked), job)
        manifest.same(output, mine)
        sets = {item.name: sounds_of(item) for item in looked}
        calibrated = _Calibrated(output, sets, wanted_sounds(wanted), embeddings, weights)
        with hold(output, NAME, steal=asked.get("steal", False)):
            return _compare(calibrated, mine, files, job, asked)


def _compare(
    calibrated: _Calibrated, mine: Manifest, files: Mapping[str, Files], job: EvaluateJob, asked: Asked
) -> dict[str, Any]:
    """Own the output, fill it, and say that it is whole."""
    claimed = manifest.open_output(calibrated.output, mine)
    content = _write(calibrated.output, _cells(calibrated, job, asked), job)
    outputs = [place for way in _ways(calibrated) for place in feature_outputs(way)]
    close(calibrated.output, claimed, (JSON_FILE, TABLE_FILE), outputs, files)
    return content


def _networks(job: EvaluateJob) -> dict[str, Weights]:
    """Where the weights of each network lie: of those that hear sounds, and that see their videos."""
    hearing = {SET_METRICS[name].component.extractor for name in METRICS}
    wanted = hearing | {listening_extractor(name).beside for name in hearing}
    weights = {name: found for name, found in chosen_weights(job).items() if name in wanted}
    if not weights:
        raise ConfigError("--calibrate needs a network at least: --set extractors.cnn14-16k.weights=...")
    return weights


def _local(asked: Asked) -> Any:
    return load_bundle(asked.get("models", Request.models)).resolve()


def _ways(calibrated: _Calibrated) -> list[Compared]:
    """The grid, with the networks that hear each way."""
    found = []
    for protocol in grid():
        weights = {name: by for name, by in calibrated.weights.items() if _hears_so(name, protocol)}
        if weights:
            sets, reference, embeddings = calibrated.sets, calibrated.reference, calibrated.embeddings
            found.append(Compared(calibrated.output, sets, reference, embeddings, weights, protocol, only=METRICS))
    return found


def _hears_so(name: str, protocol: Protocol) -> bool:
    """Whether anybody has published numbers of a network that heard so.

    audioldm_eval decimated what CNN14 heard, and nothing else; numbers that need the videos are av-benchmark's.
    """
    kind = folder_extractor(name)
    if not issubclass(kind, ListeningExtractor) or kind.beside:
        return protocol.hears_as("av-benchmark")
    return protocol.resampling == "sinc" or name.startswith("cnn14")


def _cells(calibrated: _Calibrated, job: EvaluateJob, asked: Asked) -> dict[str, Cells]:
    """The metrics of each system, by the protocol's name."""
    found: dict[str, Cells] = {name: {} for name in calibrated.sets}
    for compared in _ways(calibrated):
        print(f"calibrate: {compared.protocol.name}", flush=True)
        for system, results in compare(compared, job, asked).results.items():
            found[system][compared.protocol.name] = results
    return found


def _write(output: str, cells: Mapping[str, Mapping[str, Sequence[SetResult]]], job: EvaluateJob) -> dict[str, Any]:
    """Write and print the grid and what agrees."""
    confidence, content, texts = job.metrics.confidence, {}, []
    for system, by_cell in cells.items():
        agreed = agreements(by_cell, PUBLISHED.get(system, ()))
        content[system] = {
            "cells": {
                cell: {result.name: result.to_dict(confidence) for result in results}
                for cell, results in by_cell.items()
            },
            "published": [item.to_dict() for item in agreed],
        }
        texts.append(calibration_to_markdown(system, by_cell, agreed, confidence))
    text = "\n".join(texts)
    storage.write_json(storage.join(output, JSON_FILE), content)
    storage.write_bytes(storage.join(output, TABLE_FILE), text.encode())
    print(text, flush=True)
    return content
