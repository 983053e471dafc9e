"""Which checks an output gets: that depends on the job that made it."""

from __future__ import annotations

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.sidecar import JOB as BESIDE
from v2a_core.verification.files import (
    TRAININGS,
    check_comparison,
    check_interpolation,
    check_metrics,
    check_reproduction,
    check_summary,
    check_training,
)
from v2a_core.verification.folders import REPRODUCTION, check_folder, check_parts, outputs_in, parts_of
from v2a_core.verification.reader import PartReader
from v2a_core.verification.report import Report
from v2a_core.verification.rows import check_rows

COMPARISONS = ("evaluate --system", "evaluate --calibrate")


def verify(output: str, reader: PartReader | None = None) -> Report:
    """Check an output of any job with all that is inside, or a folder of several: of `v2a demo`, of a sweep.

    Args:
        output: Folder or URI.
        reader: Reads the parts; None for one of its own.

    Raises:
        ConfigError: When it is no output, or one that this program does not know.
    """
    with reader or PartReader() as reader:
        return _verify(output.rstrip("/"), reader)


def _verify(output: str, reader: PartReader) -> Report:
    made_by = _manifest(output)
    if made_by is None:
        found = outputs_in(output)
        if not found:
            raise ConfigError(f"{output} has no {manifest.FILE_NAME}: it is not an output of `v2a`")
        report = Report(output, None, inside=[_verify(inside, reader) for inside in found])
        check_folder(report)
        return report
    report = Report(output, made_by.get("job"), made_by)
    if report.job in ("embed", BESIDE, "generate", "evaluate", "listen", "extract", "hear"):
        check_rows(report, reader)
        if report.job == "evaluate":
            check_metrics(report)
            _check_parts(report, reader)
    elif report.job in COMPARISONS:
        check_comparison(report)
        _check_parts(report, reader)
    elif report.job == REPRODUCTION:
        check_reproduction(report)
        _check_parts(report, reader)
    elif report.job in TRAININGS:
        check_training(report)
        if report.job == "train-adapter":
            _check_parts(report, reader)
    elif report.job == "interpolate":
        check_interpolation(report)
    else:
        raise ConfigError(f"{output} is an output of `v2a {report.job}`, which this program does not know")
    check_summary(report)
    return report


def _check_parts(report: Report, reader: PartReader) -> None:
    there, recorded = parts_of(report.output, report.made_by)
    report.inside = [_verify(storage.join(report.output, name), reader) for name in there]
    check_parts(report, sorted(set(recorded) - set(there)))


def _manifest(output: str) -> Manifest | None:
    try:
        made_by = manifest.load(output)
    except FileNotFoundError:
        return None
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(
            f"{error}; without it nobody knows what made the rows: restore it, or make them anew"
        ) from None
    manifest.check_version(output, made_by)
    return made_by
