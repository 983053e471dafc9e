"""Outputs that are files and not rows: a mapper, metrics, an interpolation, a reproduction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.models.described import Described
from v2a_core.models.errors import ModelError
from v2a_core.models.finite import DamagedWeightsError
from v2a_core.models.parts import ADAPTER_FILE, PREDICTOR_FILE, AdapterSource, Part, PredictorSource
from v2a_core.models.sources import Finder
from v2a_core.outputs import manifest
from v2a_core.protocols import JSON
from v2a_core.storage.checksums import sha256_of
from v2a_core.training import kept
from v2a_core.verification.media import file_fault
from v2a_core.verification.report import Report

TRAININGS = ("train", "train-timing", "train-adapter")
_METRICS, _TABLE, _SUMMARY = "metrics.json", "metrics.md", "summary.json"


def check_summary(report: Report) -> None:
    """A summary can be read; a finished training needs it, to tell that there is nothing to do."""
    needed = report.job in TRAININGS and report.made_by.get("status") in ("done", "stopped")
    try:
        storage.read_json(storage.join(report.output, _SUMMARY))
    except FileNotFoundError:
        if needed:
            report.problems.append(f"{_SUMMARY} is missing: run {report.again}")
            report.damage.redo = True
    except ValueError:
        report.problems.append(f"{_SUMMARY} is not valid JSON: run {report.again}")
        report.damage.redo = True


def check_training(report: Report) -> None:
    """The weights are those of the training, finite, and fit their description; checkpoints are whole."""
    status = report.made_by.get("status")
    report.summary, file, problems_of = _TRAINED[str(report.job)]
    if status in ("done", "stopped"):
        problems = problems_of(report)
        report.problems += problems
        if problems:
            report.damage.redo = True
            report.damage.files += [name for name in ("config.json", file) if _exists(report, name)]
    else:
        report.problems.append(f"manifest: the last run is {status!r}, not done: run {report.again}")
    if status == "stopped":
        report.notes.append(f"the training stopped by itself: {last_run(report).get('stopped')}")
    _check_checkpoints(report)


def check_metrics(report: Report) -> None:
    """The metrics are those that the last run computed, of the rows that are there."""
    try:
        content = storage.read_json(storage.join(report.output, _METRICS))
        metrics, counts = content["metrics"], content["counts"]
        total = counts["segments"] + counts["rejected"]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        report.problems.append(f"{_METRICS} cannot be used ({type(error).__name__}: {error}): run {report.again}")
        return
    computed = last_run(report).get("metrics")
    if computed is not None and json.dumps(computed, sort_keys=True) != json.dumps(metrics, sort_keys=True):
        report.problems.append(f"{_METRICS} does not say what the last run computed: run {report.again}")
    if total > report.rows and not report.damaged:
        report.problems.append(f"{_METRICS} is of {total} rows, {report.rows} are there: run {report.again}")
    if not _exists(report, _TABLE):
        report.problems.append(f"{_TABLE} is missing: run {report.again}")


def check_interpolation(report: Report) -> None:
    """The sounds and the page are those that were written."""
    report.summary = f"an interpolation of {_check_written(report)} files"


def check_comparison(report: Report) -> None:
    """The metrics and their table are those that were written."""
    _check_written(report)
    report.summary = "a comparison of systems"


def check_reproduction(report: Report) -> None:
    """Tables, figures and page are those that were written."""
    report.summary = f"a reproduction of {_check_written(report)} files"


def _check_written(report: Report) -> int:
    """The files are those that the manifest names; returns how many."""
    status = report.made_by.get("status")
    if status != "done":
        report.problems.append(f"manifest: the last run is {status!r}, not done: run {report.again}")
    files = manifest.group(last_run(report), "files")
    for name, sha256 in files.items():
        fault = file_fault(report.output, name, str(sha256))
        if fault:
            report.problems.append(f"{name}: {fault}: run {report.again}")
    if status == "done" and not files:
        report.problems.append(f"manifest: it names no files: run {report.again}")
    return len(files)


def last_run(report: Report) -> Mapping[str, JSON]:
    """What the manifest says of the last run that ended."""
    runs = report.made_by.get("runs")
    return runs[-1] if runs else {}


def _exists(report: Report, name: str) -> bool:
    return storage.exists(storage.join(report.output, name))


def _mapper_problems(report: Report) -> list[str]:
    from v2a_core.mappers.export import WEIGHTS_FILE, Mapper, read_config

    try:
        found, _ = sha256_of(storage.join(report.output, WEIGHTS_FILE))
        config = read_config(report.output)
    except FileNotFoundError:
        return [f"{WEIGHTS_FILE} is missing"]
    except ConfigError as error:
        return [str(error)]
    problems = []
    if found != last_run(report).get("fingerprint"):
        problems.append(f"{WEIGHTS_FILE} is not what the training exported (sha256)")
    planned = (report.made_by.get("config") or {}).get("mapper")
    if planned is not None and json.loads(config.mapper.model_dump_json()) != planned:
        problems.append("config.json describes another mapper than the manifest")
    spaces = {"vision": config.vision_space, "audio": config.audio_space}
    if spaces != report.made_by.get("spaces"):
        problems.append(f"config.json names the spaces {spaces}, the manifest {report.made_by.get('spaces')}")
    if problems:
        return problems
    try:
        Mapper.from_pretrained(report.output)
    except (ConfigError, DamagedWeightsError) as error:
        return [str(error)]
    return []


def _adapter_problems(report: Report) -> list[str]:
    from v2a_core.generators.adapters import read_config

    source = AdapterSource(weights=report.output)
    return _described_problems(report, lambda: read_config(Part(source, source.find(Finder("adapter")))), ADAPTER_FILE)


def _predictor_problems(report: Report) -> list[str]:
    from v2a_core.timing.predictors.trained import read_config

    source = PredictorSource(weights=report.output)
    return _described_problems(
        report, lambda: read_config(Part(source, source.find(Finder("predictor")))), PREDICTOR_FILE
    )


def _described_problems(report: Report, read: Callable[[], Described], file: str) -> list[str]:
    """What is wrong with weights and the description beside them."""
    from v2a_core.models.checkpoints import load_tensors
    from v2a_core.models.finite import check_finite

    uri = storage.join(report.output, file)
    try:
        found, _ = sha256_of(uri)
        config = read()
        with storage.local_copy(uri) as path:
            check_finite(uri, load_tensors(path))
    except FileNotFoundError:
        return [f"{file} is missing"]
    except (ConfigError, ModelError, DamagedWeightsError) as error:
        return [str(error)]
    problems = []
    if found != last_run(report).get("fingerprint"):
        problems.append(f"{file} is not what the training exported (sha256)")
    if config.sha256 != found:
        problems.append(f"config.json describes other weights than {file}")
    return problems


def _check_checkpoints(report: Report) -> None:
    found = kept.check(report.output, every=True)
    for name, what in found.damaged.items():
        if what == kept.CUT_SHORT:  # what a killed run left; the next one removes it
            report.notes.append(f"{kept.FOLDER}/{name}: {what}")
            continue
        report.problems.append(f"{kept.FOLDER}/{name}: {what}")
        report.damage.files.append(f"{kept.FOLDER}/{name}")
    report.summary += f" and {len(found.good)} checkpoints"


# Of each training: what it makes, the file of its weights, and what finds fault with them.
_TRAINED: dict[str, tuple[str, str, Callable[[Report], list[str]]]] = {
    "train": ("a mapper", "mapper.safetensors", _mapper_problems),
    "train-timing": ("a curve predictor", PREDICTOR_FILE, _predictor_problems),
    "train-adapter": ("an adapter", ADAPTER_FILE, _adapter_problems),
}
