"""ImageHear: names of pictures, and their classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2a_core.catalog import CatalogSettings, list_sources
from v2a_core.catalog.imagehear import LABELS, PICTURES
from v2a_core.config import ConfigError, load
from workflows.embed.config import EmbedJob


def settings(root: Path | str) -> CatalogSettings:
    overrides = ["catalog.format.kind=imagehear", f"catalog.format.media_root={root}"]
    return load(EmbedJob, job="embed", overrides=overrides).catalog


def test_there_are_101_pictures_of_30_classes() -> None:
    assert (len(LABELS), len(PICTURES), set(LABELS.values())) == (101, 30, set(PICTURES))


def test_pictures_have_the_class_that_they_are_named_by(tmp_path: Path) -> None:
    root, table = tmp_path / "pictures", tmp_path / "imagehear.csv"
    root.mkdir()
    for name in ("accordion1.jpg", "waterfall3.jpg"):
        (root / name).write_bytes(b"picture")
    table.write_text("accordion1.jpg\n\ncat1.jpg\nwaterfall3.jpg\naccordion4.jpg\n../x.jpg\n")
    found = list_sources([str(table)], settings(root))
    assert [(source.name, source.kind, source.label) for source in found.sources] == [
        ("accordion1.jpg", "image", "accordion"),
        ("waterfall3.jpg", "image", "waterfall"),
    ]
    assert [(source.label, error.error_type) for source, error in found.rejects] == [
        ("cat", "NotFound"),
        (None, "BadRow"),
        (None, "BadRow"),
    ]
    assert "'accordion4.jpg' is no picture of ImageHear's" in str(found.rejects[1][1])


def test_a_list_without_the_pictures_is_refused() -> None:
    with pytest.raises(ConfigError, match="imagehear needs --media-root"):
        settings("")
    with pytest.raises(ValueError, match="does not exist, or is no folder"):
        list_sources(["imagehear.csv"], settings("/no/such/folder"))
