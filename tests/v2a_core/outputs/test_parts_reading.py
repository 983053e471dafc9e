"""Other programs read the parts: pandas, Arrow datasets with pushed-down filters, as DuckDB reads them."""

from __future__ import annotations

import helpers_embeddings
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from v2a_core.outputs import parts
from v2a_core.outputs.ledger import part_files
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.tables.schema import EMBEDDINGS

ROWS = 90


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "_ROW_GROUP", 10)
    splits, labels = ["test", "train", "validation"], ["bell", "dog", "rain"]
    table = helpers_embeddings.table(
        ROWS, split=[splits[row % 3] for row in range(ROWS)], label=[labels[row // 3 % 3] for row in range(ROWS)]
    )
    writer = PartWriter(
        str(tmp_path), EMBEDDINGS, id_column="segment_id", seen=set(), settings=PartSettings(), metadata={}
    )
    writer.add(table)
    writer.flush()
    return part_files(str(tmp_path))


def test_pandas_reads_vectors_as_arrays(files):
    frame = pd.read_parquet(files)
    assert len(frame) == ROWS
    assert np.stack(frame["clap_embedding"]).shape == (ROWS, 512)
    assert np.stack(frame["vision_frames"].iloc[0]).shape == (3, 512)


def test_filters_on_split_and_label_pass_over_row_groups(files):
    (fragment,) = ds.dataset(files, format="parquet").get_fragments()
    wanted = (pc.field("split") == "test") & (pc.field("label") == "dog")
    assert len(fragment.row_groups) == ROWS // 10
    assert len(fragment.subset(wanted).row_groups) == 1
    assert fragment.to_table(filter=wanted, columns=["segment_id"]).num_rows == 10


def test_parts_are_compressed_with_statistics(files):
    group = pq.ParquetFile(files[0]).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert columns["split"].compression == "ZSTD"
    assert (columns["split"].statistics.min, columns["split"].statistics.max) == ("test", "test")
