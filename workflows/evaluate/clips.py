"""What a comparison knows of each clip: where its sounds lie, and what they score; the page of systems is of it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.metrics.systems.measure import Measured, SetResult
from v2a_core.metrics.systems.places import LookedAt
from v2a_core.tables.clips import CLIPS, CLIPS_FILE, SOUNDS_FILE, SYSTEM_SOUNDS
from workflows.evaluate.comparison import REFERENCES, System


def write_clips(
    output: str,
    systems: Sequence[System],
    wanted: Mapping[str, LookedAt],
    measured: Measured,
) -> None:
    """Write both tables.

    Args:
        output: Folder or URI of the comparison.
        systems: Whose files were looked at.
        wanted: The references' files.
        measured: The metrics of each system, by its name, and what a judge heard.
    """
    judged = measured.judged
    heard = {REFERENCES: next(iter(judged.values())).reference if judged else {}}
    heard |= {name: found.made for name, found in judged.items()}
    rows = [_row(REFERENCES, key, item, heard) for key, item in wanted.items()]
    rows += [_row(system.name, key, item, heard) for system in systems for key, item in system.found.items()]
    _write(storage.join(output, SOUNDS_FILE), pa.Table.from_pylist(rows, schema=SYSTEM_SOUNDS))
    _write(storage.join(output, CLIPS_FILE), pa.concat_tables([CLIPS.empty_table(), *_values(measured.results)]))


def _row(system: str, key: str, item: LookedAt, heard: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    return {
        "system": system,
        "id": key,
        "uri": item.place.uri,
        "is_video": item.place.source is not None,
        "label": item.place.label,
        "caption": item.place.caption,
        "prompt": item.place.prompt,
        "seed": item.place.seed,
        "sha256": item.sha256 or None,
        "sample_rate_hz": item.sample_rate or None,
        "length_s": item.length_s or None,
        "silent": item.silent,
        "verdict": heard.get(system, {}).get(key),
        "error": item.error or None,
    }


def _values(results: Mapping[str, Sequence[SetResult]]) -> Iterator[pa.Table]:
    """A table a system and metric."""
    for system, found in results.items():
        for result in found:
            if result.estimate is not None:
                each, value_type = result.estimate.values, CLIPS.field("value").type
                of_system, of_metric = (pa.repeat(name, len(each)) for name in (system, result.name))
                values = pa.array(each.values_N).cast(value_type)
                columns = (of_system, pa.array(each.keys_N, pa.string()), of_metric, values)
                yield pa.Table.from_arrays(columns, schema=CLIPS)


def _write(uri: str, table: pa.Table) -> None:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    storage.write_bytes(uri, file.getvalue())
