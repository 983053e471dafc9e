"""A linear world: what is heard is a linear function of what is seen, written as `v2a embed` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from v2a_core.outputs import manifest
from v2a_core.tables import arrays
from v2a_core.tables.schema import EMBEDDING_DIM, embeddings_schema

SPACES = {"vision": "clip:0123456789abcdef", "audio": "clap+sinc:fedcba9876543210"}


def vectors(rows: int, *, frames: int = 3, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Frame embeddings (rows x (frames, 512)) and sound embeddings (rows, 512), all L2-normalised."""
    world = np.random.default_rng(0)
    see, hear = world.normal(size=(2, 6, EMBEDDING_DIM))
    random = np.random.default_rng([1, seed])
    latent = random.normal(size=(rows, 6))
    noise = 0.3 * random.normal(size=(rows, frames, EMBEDDING_DIM))
    return list(_unit((latent @ see)[:, None] + noise)), _unit(latent @ hear).astype(np.float32)


def table(rows: int, *, sources: int | None = None, **columns: Any) -> pa.Table:
    """Rows of embeddings; `columns` replaces whole columns by lists."""
    seen, heard = vectors(rows)
    names = [f"/videos/{row % (sources or rows)}.mp4" for row in range(rows)]
    values: dict[str, Any] = {
        "segment_id": [f"segment{row}" for row in range(rows)],
        "source_id": [f"id of {name}" for name in names],
        "source_key": [f"key of {name}" for name in names],
        "source_uri": names,
        "source_name": names,
        "kind": ["video"] * rows,
        "segment_index": [0] * rows,
        "segment_count": [1] * rows,
        "audio_rms_dbfs": [-20.0] * rows,
        "silent": [False] * rows,
        "status": ["ok"] * rows,
        "recorded_at": pa.array([0] * rows, pa.timestamp("us", "UTC")),
        "vision_frames": seen,
        "clap_embedding": list(heard),
        **columns,
    }
    width = values["vision_frames"][0].shape[-1]
    values["vision_frames"] = arrays.vector_lists(values["vision_frames"], width, np.float16)
    values["clap_embedding"] = arrays.vectors(values["clap_embedding"], EMBEDDING_DIM)
    ready = {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in values.items()}
    schema = embeddings_schema(width)
    return pa.table({field.name: ready.get(field.name, pa.nulls(rows)) for field in schema}).cast(schema)


def write(folder: Path, rows: pa.Table, *, parts: int = 2, status: str = "done") -> str:
    """A folder of embeddings."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    size = -(-rows.num_rows // parts)
    for number in range(parts):
        pq.write_table(
            rows.slice(number * size, size), folder / "rows" / f"part-{number:05d}.parquet", row_group_size=64
        )
    made_by = manifest.new("embed", identity={}, config={}, bundle={"name": "linear"}, spaces=SPACES)
    manifest.open_output(str(folder), made_by)
    manifest.close_output(str(folder), made_by, {"status": status, "counts": {}})
    return str(folder)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
