"""What a listing has to tell is told in a real run, beside the JSON of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2a_core.catalog import CatalogSettings
from workflows.streaming.listing import list_catalog


def test_rows_with_other_labels_are_told_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "t.csv").write_text("uri,label\na.mp4,rain\na.mp4,thunder\n")
    listing = list_catalog([str(tmp_path / "t.csv")], CatalogSettings(), None)
    assert listing.skipped == {"duplicate with other labels": 1}
    told = capsys.readouterr()
    assert told.out == ""
    assert "t.csv: 1 row names what is listed already, with other labels; the first counts" in told.err
