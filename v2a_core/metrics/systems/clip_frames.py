"""The frames of videos, for metrics that compare a sound with a picture: of each video one vector is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.metrics.systems.features import Features, Floats, Member
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import part_files, read_part
from v2a_core.protocols import AnyFloats
from v2a_core.tables import arrays
from v2a_core.tables.schema import EMBEDDING_DIM, OK, ROWS_FOLDER

_COLUMNS = ["segment_id", "source_name", "segment_index", "status", "vision_frames"]


def mean_frame(frames_FD: Iterable[AnyFloats]) -> Floats:
    """The mean of normalised frames, float32 (1, D): its product with a normalised sound is the mean cosine."""
    found = np.stack([np.asarray(frame, np.float64) for frame in frames_FD])
    mean_D: Floats = (found / np.linalg.norm(found, axis=1, keepdims=True)).mean(axis=0).astype(np.float32)
    return mean_D[None]


def read_frames(embeddings: str, systems: Mapping[str, Mapping[str, Sequence[Member]]], folder: Path) -> Features:
    """The mean frame of each video, by the keys of the systems' sounds: a segment's id, or the name of its file.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote, with CLIP ViT-B/32.
        systems: The sounds of each system, by sound id.
        folder: Where they are kept.

    Raises:
        ConfigError: When it is another output.
    """
    manifest.read(embeddings, job="embed")
    members = {item.key: item for sounds in systems.values() for same in sounds.values() for item in same}
    found = Features(folder, {"embedding": EMBEDDING_DIM})
    for uri in part_files(storage.join(embeddings, ROWS_FOLDER)):
        table = read_part(uri, _COLUMNS)
        table = table.filter(pc.equal(table["status"], OK))
        names = (table[name].to_pylist() for name in ("segment_id", "source_name", "segment_index"))
        for segment, name, index, frames in zip(*names, arrays.read_vector_lists(table["vision_frames"]), strict=True):
            member = members.get(segment) or (members.get(PurePosixPath(name).stem) if index == 0 else None)
            if member is not None and frames is not None and frames.shape[1] == EMBEDDING_DIM and len(frames):
                found.add(member, {"embedding": mean_frame(frames)})
    return found
