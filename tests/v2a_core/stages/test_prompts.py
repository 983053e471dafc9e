"""Words beside pictures: what the catalog says, what the settings say, and what an index was made with."""

from __future__ import annotations

import pyarrow as pa
import pytest

from v2a_core.catalog import Source
from v2a_core.catalog.collector import Collector
from v2a_core.compute.ids import pack
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.stages.prompts import TextSettings, said_otherwise, words_of
from v2a_core.tables.schema import INDEX


def source(name: str, prompt: str | None = None, negative: str | None = None) -> Source:
    return Source(f"/videos/{name}", name, "video", "1", prompt=prompt, negative_prompt=negative)


def test_the_catalog_goes_before_the_settings():
    settings = TextSettings(prompt="wind", negative_prompt="")
    assert words_of(source("a", "rain"), settings) == ("rain", None)
    assert words_of(source("a", None, "hum"), settings) == ("wind", "hum")


@pytest.fixture
def index(tmp_path):
    rows = [
        {"source_id": name, "prompt": prompt, "negative_prompt": negative, "status": status}
        for name, prompt, negative, status in (
            ("same", "rain", None, "ok"), ("other", "rain", "hum", "ok"), ("by settings", "wind", None, "ok"),
            ("rejected", None, None, "rejected"), ("not listed", "drum", None, "ok"),
        )
    ]  # fmt: skip
    given = {field.name: "" for field in INDEX if not field.nullable and field.type == pa.string()}
    writer = PartWriter(str(tmp_path), INDEX, id_column="source_id", seen=set(), settings=PartSettings(), metadata={})
    writer.add(pa.Table.from_pylist([{**given, **row} for row in rows], schema=INDEX))
    writer.flush()
    return str(tmp_path)


def test_soundtracks_of_other_words_are_found(index):
    catalog, ids = Collector(), []
    for identity, listed in (
        ("same", source("same", "rain")),
        ("other", source("other", "rain")),
        ("by settings", source("by settings")),
        ("rejected", source("rejected", "now with words")),
        ("not made yet", source("new", "rain")),
    ):
        catalog.add(listed)
        ids.append(identity)
    sources = catalog.build()
    assert said_otherwise(index, sources, pack(ids), TextSettings(prompt="wind")) == ["other"]
    assert said_otherwise(index, sources, pack(ids), TextSettings(prompt="a bell")) == ["other", "by settings"]
    assert said_otherwise(index + "/nothing", sources, pack(ids), TextSettings()) == []
