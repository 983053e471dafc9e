"""The systems that go through text: a caption of the catalog or of BLIP, then CLAP's text embedding of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core.media.types import MediaError
from v2a_core.protocols import Captioner, TextEncoder
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import EMBEDDING_DIM, OK

Floats = npt.NDArray[np.float32]


def texts_of_catalog(batch: pa.Table, column: str) -> list[str | None]:
    """The `caption` or `label` of each good row; None for the others, and where the catalog has none."""
    states = batch["status"].to_pylist()
    values = batch[column].to_pylist()
    return [text.strip() or None if text and state == OK else None for text, state in zip(values, states, strict=True)]


def texts_of_frames(batch: pa.Table, captioner: Captioner, image_size: int) -> list[str | None]:
    """A caption of the frame in the middle of each good row."""
    frames = [None if item is None else item[len(item) // 2] for item in rows.read_frames(batch, image_size)]
    captions = iter(captioner.caption([item for item in frames if item is not None]))
    return [None if item is None else (next(captions) or None) for item in frames]


def text_conditions(batch: pa.Table, texts: Sequence[str | None], encoder: TextEncoder) -> pa.Table:
    """Add `condition` and `condition_text`, drop what was seen. A good row without a text becomes a reject."""
    started = time.monotonic()
    present = [text for text in texts if text is not None]
    embedded = iter(encoder.embed_text(present) if present else ())
    conditions = [None if text is None else next(embedded) for text in texts]
    columns = {
        "condition": arrays.vectors(conditions, EMBEDDING_DIM),
        "condition_text": pa.array(list(texts), pa.string()),
        "map_s": rows.per_row_seconds(time.monotonic() - started, [text is not None for text in texts]),
    }
    missing = [text is None and state == OK for text, state in zip(texts, batch["status"].to_pylist(), strict=True)]
    batch = rows.replace(batch, columns, drop=["frames", "vision_frames"])
    return rows.reject_where(batch, missing, MediaError("text", "NoText", "there is no text to make a sound from"))
