"""What one pass over sounds brings for the folders of extractors that ride along.

They are outputs of `extraction.Extraction`, which makes what a pass did not bring: of rows that were there before, of
another judge, and of what a killed run had not written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from v2a_core import storage
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.verdicts import JUDGE
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import read_columns
from v2a_core.outputs.parts import PartWriter
from v2a_core.tables.evaluated import carried_column
from v2a_core.tables.schema import ROWS_FOLDER
from workflows.evaluate.extraction import Asking, Extraction, feature_folder
from workflows.streaming.run import manifest_of

RIDERS = (CLAP, JUDGE)  # by the names of the extractors
FEATURES_FOLDER = "features"
# Beside what systems made: references are heard once for all of them.
MADE, REFERENCES, ROUND_TRIP = "made", "references", "round-trip"


@dataclass(frozen=True)
class FolderAside:
    """Writes the rows that others carry in a column.

    Attributes:
        column: Which; see `carried_column`.
        writer: Of the folder.
    """

    column: str
    writer: PartWriter

    def take(self, table: pa.Table) -> None:
        """Those that are there; rows of what was rejected before the chain carry none."""
        if self.column in table.column_names:
            carried = table[self.column].combine_chunks()
            self.writer.add(pa.Table.from_struct_array(carried.filter(carried.is_valid())))

    def close(self) -> None:
        """Write what was taken."""
        self.writer.flush()


def kind_folder(place: str, kind: str, asking: Asking) -> str:
    """Where an extractor's folder of a kind of sounds lies.

    Args:
        place: Folder or URI that holds `features/`.
        kind: `made`, `references` or `round-trip`.
        asking: Whom.
    """
    return feature_folder(storage.join(place, FEATURES_FOLDER, kind), asking.weights, asking.protocol)


def known_sounds(folder: str) -> list[str]:
    """Ids of the sounds that an extractor has heard, by its folder."""
    table = read_columns(storage.join(folder, ROWS_FOLDER), ["segment_id"])
    return [] if table is None else table["segment_id"].to_pylist()


def open_aside(folder: str, about: str, extraction: Extraction, before_commit: Callable[[], None]) -> FolderAside:
    """Claim a folder of an extractor.

    Args:
        folder: Folder or URI.
        about: Which sounds of the rows these are; see `evaluated.ABOUT`.
        extraction: The job that the folder is an output of.
        before_commit: Called before anything is written.

    Raises:
        ConfigError: When the folder was made differently.
    """
    rows = extraction.rows()
    claimed = manifest.open_output(folder, manifest_of(extraction, extraction.settings))
    writer = PartWriter(
        storage.join(folder, rows.folder),
        rows.schema,
        id_column=rows.id_column,
        seen=known_sounds(folder),
        settings=extraction.settings.output,
        metadata=manifest.part_metadata(claimed, **rows.metadata),
        before_commit=before_commit,
    )
    return FolderAside(carried_column(extraction.asking.weights.extractor, about), writer)
