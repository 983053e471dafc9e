"""CLAP's embeddings of whole sets, which stand in the rows of an evaluation: their Fréchet distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Heard, SetSettings
from v2a_core.metrics.systems.features import Features, Member
from v2a_core.metrics.systems.frechet_sets import FrechetOfSets
from v2a_core.outputs.ledger import part_files, read_batches
from v2a_core.tables import arrays
from v2a_core.tables.schema import EMBEDDING_DIM, OK

EXTRACTOR = "clap"
_COLUMNS = ["segment_id", "source_id", "source_name", "status", "clap_embedding", "reference_embedding"]


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows of a system.

    Attributes:
        rows: Folder or URI.
        sources: Ids of the soundtracks that are meant.
        references: Embeddings to compare with instead of the rows' own, by segment id; those of other segments are
            taken as a set. None: the rows' own.
    """

    rows: str
    sources: pa.Array
    references: Mapping[str, npt.NDArray[np.float32]] | None = None

    def heard(self, settings: SetSettings, folder: Path) -> Heard:
        """What CLAP hears, in files of this empty folder."""
        sizes = {"embedding": EMBEDDING_DIM}
        made, reference = Features(folder / "made", sizes), Features(folder / "reference", sizes)
        given = self.references or {}
        for uri in part_files(self.rows):
            for table in read_batches(uri, _COLUMNS):
                good = pc.and_(pc.equal(table["status"], OK), pc.is_in(table["source_id"], value_set=self.sources))
                self._take(table.filter(good), made, reference)
        if given and not reference.keys:
            for identity, vector_D in given.items():
                reference.add(Member(identity, identity), {"embedding": vector_D[None]})
        return Heard(made, reference, None, {}, settings)

    def _take(self, table: pa.Table, made: Features, reference: Features) -> None:
        sounds, originals = (arrays.read_vectors(table[f"{name}_embedding"]) for name in ("clap", "reference"))
        ids, sources = table["segment_id"].to_pylist(), table["source_name"].to_pylist()
        for identity, source, sound_D, original_D in zip(ids, sources, sounds, originals, strict=True):
            if self.references is not None:
                original_D = self.references.get(identity)
            for features, vector_D in ((made, sound_D), (reference, original_D)):
                if vector_D is not None:
                    features.add(Member(identity, source), {"embedding": vector_D[None]})


SET_METRICS.add("clap_frechet", FrechetOfSets("Fréchet distance (CLAP)", EXTRACTOR))
