"""Outputs in outputs: a folder of several (the demo's, a sweep's), and the parts of an evaluation or a reproduction."""

from __future__ import annotations

from collections.abc import Iterable

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.verification.files import last_run
from v2a_core.verification.report import Report

# Where outputs keep others, and how many folders below. An evaluation: systems/NAME, features/KIND/NETWORK/WEIGHTS.
_PLACES = (("systems", 1), ("features", 3))
_OF_REPRODUCTION = (("embeddings", 1), ("mappers", 2), ("soundtracks", 1), ("scores", 1), ("interpolations", 1))
REPRODUCTION = "reproduce"
_PAGE, _CATALOG, _SWEEP = "index.html", "catalog.json", "sweep.json"


def outputs_in(folder: str) -> list[str]:
    """The outputs directly inside a folder."""
    inside = [storage.join(folder, name) for name in folders_in(folder)]
    return [uri for uri in inside if storage.exists(storage.join(uri, manifest.FILE_NAME))]


def folders_in(folder: str) -> list[str]:
    """The names of the folders directly inside a folder."""
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    try:
        entries = storage.attempt(folder, lambda: fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")


def parts_of(output: str, made_by: Manifest) -> tuple[list[str], list[str]]:
    """The outputs inside an evaluation or a reproduction, by their places: those there, and those recorded.

    Args:
        output: Folder or URI.
        made_by: Its manifest.
    """
    runs = made_by.get("runs") or [{}]
    recorded = runs[-1].get("outputs")
    names = [str(name) for name in recorded] if isinstance(recorded, list) else []
    if made_by.get("job") == "train-adapter":  # what was heard; nobody needs it any more when all is done
        return [uri.removeprefix(output).lstrip("/") for uri in outputs_in(output)], []
    places = _OF_REPRODUCTION if made_by.get("job") == REPRODUCTION else _PLACES
    return [name for place in places for name in _outputs_below(output, *place)], names


def check_parts(report: Report, lost: Iterable[str]) -> None:
    """Take over what is wrong inside of an evaluation or a reproduction.

    Args:
        report: With the reports of what is inside.
        lost: Outputs that are recorded and not there.
    """
    _take_over(report)
    what = "reproduction" if report.job == REPRODUCTION else "evaluation"
    report.problems += [f"{name}: this part of the {what} is gone: run {report.again}" for name in lost]
    rows = sum(inside.rows for inside in report.inside)
    if report.inside:
        own = f"{report.summary}, with " if report.summary else ""
        report.summary = f"{own}{len(report.inside)} outputs of {rows} rows inside"


def check_folder(report: Report) -> None:
    """Take over what is wrong inside, and check what lies beside the outputs."""
    _take_over(report)
    report.summary = "; ".join(f"{inside.output.rsplit('/', 1)[-1]}: {inside.summary}" for inside in report.inside)
    if storage.exists(storage.join(report.output, _CATALOG)):
        report.job = "demo"
        if not storage.exists(storage.join(report.output, _PAGE)):
            report.problems.append(f"{_PAGE} is missing, the demo has not ended: run {report.again}")
    elif storage.exists(storage.join(report.output, _SWEEP)):
        report.job = "train --sweep"
        _check_sweep(report)


def _take_over(report: Report) -> None:
    for inside in report.inside:
        name = inside.output.removeprefix(report.output).lstrip("/")
        report.problems += [f"{name}: {problem}" for problem in inside.problems]
        report.notes += [f"{name}: {note}" for note in inside.notes]


def _outputs_below(output: str, folder: str, depth: int) -> list[str]:
    """The outputs so many folders below one, by their places in the output."""
    names = [folder]
    for _ in range(depth - 1):
        names = [f"{name}/{inside}" for name in names for inside in folders_in(storage.join(output, name))]
    found = [uri for name in names for uri in outputs_in(storage.join(output, name))]
    return [uri.removeprefix(output).lstrip("/") for uri in found]


def _check_sweep(report: Report) -> None:
    try:
        runs = {row["name"]: row for row in storage.read_json(storage.join(report.output, _SWEEP))["runs"]}
    except (ValueError, KeyError, TypeError) as error:
        report.problems.append(f"{_SWEEP} is no table of runs ({error}): run {report.again}")
        return
    made = {inside.output.rsplit("/", 1)[-1]: inside for inside in report.inside}
    for name, row in runs.items():
        if name not in made:
            report.problems.append(f"{name}: the table has this run, there is no such output: run {report.again}")
        elif row.get("fingerprint") not in (None, last_run(made[name]).get("fingerprint")):
            report.problems.append(f"{name}: the table was made from another training of it: run {report.again}")
