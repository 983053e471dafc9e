"""Reads a comparison for its page."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import part_files, read_batches
from v2a_core.report.systems.types import REFERENCES, Bar, Chart, Clip, ClipMetric, Sound, SystemsReport
from v2a_core.tables.clips import CLIPS_FILE, SOUNDS_FILE
from v2a_core.tables.schema import ROWS_FOLDER
from v2a_core.version import __version__

JOB = "evaluate --system"
_METRICS_FILE = "metrics.json"
_HEARD = ["source_name", "label", "caption", "onsets_s", "reference_onsets_s"]
# What tells best how far a clip is from right, the first that was measured.
_FIRST = ("kl_passt", "kl_cnn14_32k", "kl_cnn14_16k", "clap_similarity_reference", "clap_similarity_condition")

Values = Mapping[str, Mapping[str, Mapping[str, float]]]  # by system, clip and metric


def is_comparison(output: str) -> bool:
    """Whether an output is of `v2a evaluate --system`."""
    try:
        return manifest.load(output).get("job") == JOB
    except (FileNotFoundError, ValueError):
        return False


def read_systems(comparison: str, limit: int | None = None) -> SystemsReport:
    """The page of a comparison, the clips in which the first system is worst first.

    Args:
        comparison: Folder or URI that `v2a evaluate --system` wrote.
        limit: Show so many clips only.

    Raises:
        ConfigError: When it is another output, or not whole.
    """
    made_by = manifest.read(comparison, job=JOB)
    if made_by.get("status") != "done":
        raise ConfigError(f"{comparison} is not finished: run the same `v2a evaluate --system` again")
    content = storage.read_json(storage.join(comparison, _METRICS_FILE))
    systems = list(content["systems"])
    values = _values(comparison)
    metrics = _clip_metrics(content["systems"], values)
    sounds = _table(comparison, SOUNDS_FILE)
    names = _worst_first(dict.fromkeys(sounds["id"].to_pylist()), values, metrics, systems[0])
    shown = names[:limit]
    heard = {system: _heard(comparison, system, shown) for system in systems}
    return SystemsReport(
        systems=systems,
        clips=_clips(shown, sounds, values, heard),
        total=len(names),
        metrics=metrics,
        charts=_charts(content, systems),
        files=_files(content["files"]),
        made_with=_made_with(content, made_by),
        version=__version__,
        has_references=REFERENCES in set(sounds["system"].to_pylist()),
    )


def _table(comparison: str, name: str) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(storage.read_bytes(storage.join(comparison, name))))
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{comparison}/{name} cannot be read ({error}): run `v2a verify {comparison}`") from None


def _values(comparison: str) -> Values:
    found: defaultdict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    table = _table(comparison, CLIPS_FILE)
    columns = (table[name].to_pylist() for name in ("system", "id", "metric", "value"))
    for system, name, metric, value in zip(*columns, strict=True):
        found[system].setdefault(name, {})[metric] = value
    return found


def _clip_metrics(results: Mapping[str, Mapping[str, Any]], values: Values) -> list[ClipMetric]:
    """The metrics of clips that were measured, the most telling one first."""
    known = {metric for of_system in values.values() for of_clip in of_system.values() for metric in of_clip}
    first = next(iter(results.values()))
    names = sorted((name for name in first if name in known), key=lambda name: (_rank(name), list(first).index(name)))
    return [ClipMetric(name, first[name]["title"], first[name]["better"]) for name in names]


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _worst_first(names: Mapping[str, object], values: Values, metrics: Sequence[ClipMetric], system: str) -> list[str]:
    if not metrics:
        return sorted(names)
    sign = 1.0 if metrics[0].better == "higher" else -1.0
    of_system = values.get(system, {})

    def badness(name: str) -> tuple[float, str]:
        value = of_system.get(name, {}).get(metrics[0].name)
        return (math.inf if value is None else sign * value), name

    return sorted(names, key=badness)


def _heard(comparison: str, system: str, shown: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What rows say of the clips that are shown, by clip."""
    wanted, found = pa.array(shown, pa.string()), {}
    for uri in part_files(storage.join(comparison, "systems", system, ROWS_FOLDER)):
        for table in read_batches(uri, _HEARD):
            for row in table.filter(pc.is_in(table["source_name"], value_set=wanted)).to_pylist():
                found[row["source_name"]] = row
    return found


def _clips(
    shown: Sequence[str], sounds: pa.Table, values: Values, heard: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[Clip]:
    table = sounds.filter(pc.is_in(sounds["id"], value_set=pa.array(shown, pa.string())))
    by_clip: defaultdict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in table.to_pylist():
        by_clip[row["id"]][row["system"]] = row
    return [_clip(name, by_clip[name], values, heard) for name in shown]


def _clip(
    name: str,
    rows: Mapping[str, Mapping[str, Any]],
    values: Values,
    heard: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Clip:
    told = [of_system[name] for of_system in heard.values() if name in of_system]
    sounds = {}
    for system, row in rows.items():
        is_real = system == REFERENCES
        said = (told[0] if told else {}) if is_real else heard.get(system, {}).get(name, {})
        prefix = "reference_" if is_real else ""
        sounds[system] = Sound(
            row["uri"],
            row["is_video"],
            row["error"] or "",
            values.get(system, {}).get(name, {}),
            said.get(f"{prefix}onsets_s") or (),
            row.get("verdict"),
            row.get("prompt"),
            row.get("seed"),
        )
    about = [*rows.values(), *told]
    label, caption = (next((row[key] for row in about if row.get(key)), None) for key in ("label", "caption"))
    return Clip(name, sounds, label, caption)


def _charts(content: Mapping[str, Any], systems: Sequence[str]) -> list[Chart]:
    results, differences = content["systems"], content["differences"]
    charts = []
    for name, first in results[systems[0]].items():
        bars = [_bar(system, results[system][name], differences.get(name, {})) for system in systems]
        if any(bar.value is not None for bar in bars):
            of_each = [results[system][name] for system in systems]
            beside: list[Mapping[str, float]] = [result["beside"] for result in of_each if "beside" in result]
            charts.append(Chart(first["title"], first["better"], bars, *beside[:1]))
    return charts


def _bar(system: str, result: Mapping[str, Any], differences: Mapping[str, Mapping[str, Any]]) -> Bar:
    if "value" not in result:
        return Bar(system, None, reason=result.get("not_measured", "not a number"))
    found = differences.get(system, {})
    difference = f"{found['value']:+.3f}" if "value" in found else ""
    surely = f"{found['low']:+.3f} to {found['high']:+.3f}" if "low" in found else ""
    interval = (result.get("low"), result.get("high"))
    return Bar(system, result["value"], *interval, result["count"], difference=difference, surely=surely)


def _files(files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong, in words."""
    found = []
    for system, of_system in files.items():
        for kind, listed in of_system.items():
            if kind != "count" and listed["count"]:
                ids = list(listed["ids"])
                more = ", ..." if listed["count"] > 3 else ""
                found.append(f"{system}: {listed['count']} {kind.replace('_', ' ')}: {', '.join(ids[:3])}{more}")
    return found


def _made_with(content: Mapping[str, Any], made_by: manifest.Manifest) -> dict[str, str]:
    protocol = content["protocol"]
    places = {name: str(place) for name, place in content["places"].items() if place}
    heard = (
        f"{protocol['name']}: {protocol['length_s']:g} s, channels: {protocol['channels']}, {protocol['resampling']}"
    )
    bundle = (made_by.get("bundle") or {}).get("name", "")
    return {"protocol": heard, "CLAP of": bundle, **places}
