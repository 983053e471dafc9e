"""What one pass over sounds brings for the folders of extractors that ride along.

They are outputs of `extraction.Extraction`, which makes what a pass did not bring: of rows that were there before, of
another judge, and of what a killed run had not written.
"""

from __future__ import annotations

from collections.abc import Callable

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


class FolderAside:
    """Writes the rows that others carry in a column into a folder of an extractor, which is claimed with the first.

    Args:
        folder: Folder or URI.
        about: Which sounds of the rows these are; see `evaluated.ABOUT`.
        extraction: The job that the folder is an output of.
        before_commit: Called before anything is written.

    Raises:
        ConfigError: When the folder was made differently.
    """

    def __init__(self, folder: str, about: str, extraction: Extraction, before_commit: Callable[[], None]) -> None:
        self._folder, self._extraction, self._before_commit = folder, extraction, before_commit
        self._column = carried_column(extraction.asking.weights.extractor, about)
        self._mine = manifest_of(extraction, extraction.settings)
        self._writer: PartWriter | None = None
        manifest.same(folder, self._mine)

    def take(self, table: pa.Table) -> None:
        """Those that are there; rows of what was rejected before the chain carry none."""
        if self._column not in table.column_names:
            return
        carried = table[self._column].combine_chunks()
        carried = carried.filter(carried.is_valid())
        if len(carried):
            self._writer = self._writer or self._opened()
            self._writer.add(pa.Table.from_struct_array(carried))

    def close(self) -> None:
        """Write what was taken."""
        if self._writer is not None:
            self._writer.flush()

    def _opened(self) -> PartWriter:
        rows = self._extraction.rows()
        claimed = manifest.open_output(self._folder, self._mine)
        return PartWriter(
            storage.join(self._folder, rows.folder),
            rows.schema,
            id_column=rows.id_column,
            seen=known_sounds(self._folder),
            settings=self._extraction.settings.output,
            metadata=manifest.part_metadata(claimed, **rows.metadata),
            before_commit=self._before_commit,
        )


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
