"""A folder of several outputs: the demo's, a sweep's."""

from __future__ import annotations

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.verification.files import last_run
from v2a_core.verification.report import Report

_PAGE, _CATALOG, _SWEEP = "index.html", "catalog.json", "sweep.json"


def outputs_in(folder: str) -> list[str]:
    """The outputs directly inside a folder."""
    fs, path = storage.filesystem(folder)
    fs.invalidate_cache()
    try:
        entries = storage.attempt(folder, lambda: fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")
    inside = [storage.join(folder, name) for name in names]
    return [uri for uri in inside if storage.exists(storage.join(uri, manifest.FILE_NAME))]


def check_folder(report: Report) -> None:
    """Take over what is wrong inside, and check what lies beside the outputs."""
    for inside in report.inside:
        name = inside.output.rsplit("/", 1)[-1]
        report.problems += [f"{name}: {problem}" for problem in inside.problems]
        report.notes += [f"{name}: {note}" for note in inside.notes]
    report.summary = "; ".join(f"{inside.output.rsplit('/', 1)[-1]}: {inside.summary}" for inside in report.inside)
    if storage.exists(storage.join(report.output, _CATALOG)):
        report.job = "demo"
        if not storage.exists(storage.join(report.output, _PAGE)):
            report.problems.append(f"{_PAGE} is missing, the demo has not ended: run {report.again}")
    elif storage.exists(storage.join(report.output, _SWEEP)):
        report.job = "train --sweep"
        _check_sweep(report)


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
