"""Tables as spreadsheets, programs and people make them: a bad row costs itself, a table that is none is refused."""

from __future__ import annotations

import datetime
import decimal
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers_attacks
import helpers_catalog
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from v2a_core.catalog import CatalogListing, CatalogSettings, list_sources

REFUSED = "refused"
Fate = tuple[int, int] | str  # good and bad rows, or refused as a whole

CSV: dict[str, tuple[bytes, Fate]] = {
    "a byte order mark": (b"\xef\xbb\xbfuri,label\na.mp4,rain\n", (1, 0)),
    "CRLF": (b"uri,label\r\na.mp4,rain\r\n", (1, 0)),
    "CR alone": (b"uri,label\ra.mp4,rain\r", (1, 0)),
    "no last line end": (b"uri,label\na.mp4,rain", (1, 0)),
    "semicolons": (b"uri;label\na.mp4;rain\n", REFUSED),
    "tabs": (b"uri\tlabel\na.mp4\train\n", REFUSED),
    "UTF-16": ("uri,label\na.mp4,rain\n".encode("utf-16"), REFUSED),
    "Latin-1": (b"uri,label\na.mp4,r\xe9gen\nb.mp4,rain\n", (1, 1)),
    "nothing": (b"", REFUSED),
    "a header alone": (b"uri,label\n", REFUSED),
    "no header": (b"a.mp4,rain\n", REFUSED),
    "two columns uri": (b"uri,uri\na.mp4,b.mp4\n", REFUSED),
    "header in capitals": (b"URI,label\na.mp4,rain\n", REFUSED),
    "too many values": (b"uri,label\na.mp4,rain,2,3,4\n", (1, 0)),
    "too few values": (b"uri,label,split\na.mp4\n", (1, 0)),
    "an empty uri": (b"uri,label\n,rain\na.mp4,rain\n", (1, 1)),
    "blank lines": (b"uri,label\n\n\na.mp4,rain\n\n", (1, 0)),
    "a quoted line end": (b'uri,label\na.mp4,"rain\nand wind"\n', (1, 0)),
    "itself": (b"uri\ntable.csv\na.mp4\n", (1, 1)),
    "another table that names it": (b"uri\nother.csv\na.mp4\n", (1, 1)),
    "a system file": (b"uri\n/etc/passwd\nfile:///etc/shadow\na.mp4\n", (1, 2)),
    "a way upwards": (b"uri\n../../../../../../etc/passwd.mp4\na.mp4\n", (1, 1)),
    "a folder, a FIFO": (b"uri\nfolder.mp4\nfifo.mp4\na.mp4\n", (1, 2)),
    "a pattern": (b"uri\n*.mp4\n{a}.mp4\n$HOME/a.mp4\na.mp4\n", (1, 3)),
    "somebody's home": (b"uri\n~nobody-here/a.mp4\na.mp4\n", (1, 1)),
    "a formula": (b"uri,label\na.mp4,\"=cmd|' /C calc'!A0\"\n", (1, 0)),
    "a label of 100,000 letters": (b"uri,label\na.mp4," + b"x" * 100_000 + b"\n", (0, 1)),
    "a row twice": (b"uri\na.mp4\na.mp4\n./a.mp4\n", (1, 0)),
    "ten thousand columns": (b"uri," + b",".join(b"c%d" % i for i in range(10_000)) + b"\na.mp4\n", (1, 0)),
}
# What may stand in start_s, and whether it is taken.
STARTS = {
    "0": True, "": True, "nan": True, "0.5": True, "1e-300": True, " 1 ": True,
    "-1": False, "-inf": False, "inf": False, "abc": False, "1,5": False, "00:10": False, "1e999": False, "0x10": False,
}  # fmt: skip
DURATIONS = {"0.5": True, "": True, "0": False, "-2": False, "nan": True, "inf": False, "ten": False}


def strings(*values: object) -> pa.Array:
    return pa.array(values)


PARQUET: dict[str, tuple[Callable[[], pa.Table], Fate]] = {
    "a dictionary": (lambda: pa.table({"uri": strings("a.mp4", "b.mp4").dictionary_encode()}), (2, 0)),
    "large strings": (lambda: pa.table({"uri": strings("a.mp4").cast(pa.large_string())}), (1, 0)),
    "string views": (lambda: pa.table({"uri": strings("a.mp4").cast(pa.string_view())}), (1, 0)),
    "bytes as uri": (lambda: pa.table({"uri": strings(b"a.mp4")}), (1, 0)),
    "a struct as uri": (lambda: pa.table({"uri": strings({"path": "a.mp4"})}), (0, 1)),
    "a list as uri": (lambda: pa.table({"uri": strings(["a.mp4"])}), (0, 1)),
    "numbers as uri": (lambda: pa.table({"uri": strings(1, 2)}), (0, 2)),
    "nulls as uri": (lambda: pa.table({"uri": pa.nulls(2)}), (0, 2)),
    "the null type": (lambda: pa.table({"uri": strings("a.mp4"), "label": pa.nulls(1)}), (1, 0)),
    "the null type as start": (lambda: pa.table({"uri": strings("a.mp4"), "start_s": pa.nulls(1)}), (1, 0)),
    "a number as label": (lambda: pa.table({"uri": strings("a.mp4"), "label": strings(7)}), (1, 0)),
    "a struct as label": (lambda: pa.table({"uri": strings("a.mp4"), "label": strings({"a": [1]})}), (0, 1)),
    "a decimal start": (
        lambda: pa.table({"uri": strings("a.mp4"), "start_s": strings(decimal.Decimal("0.5"))}), (1, 0),
    ),
    "a time stamp as start": (
        lambda: pa.table({"uri": strings("a.mp4"), "start_s": strings(datetime.datetime(2020, 1, 1))}), (0, 1),
    ),
    "a list as start": (lambda: pa.table({"uri": strings("a.mp4"), "start_s": strings([0.5])}), (0, 1)),
    "no rows": (lambda: pa.table({"uri": pa.array([], pa.string())}), REFUSED),
    "no columns": (lambda: pa.table({}), REFUSED),
    "uri twice": (lambda: pa.Table.from_arrays([strings("a.mp4"), strings("b.mp4")], ["uri", "uri"]), REFUSED),
}  # fmt: skip
JSON: dict[str, tuple[bytes, Fate]] = {
    "a byte order mark": (b'\xef\xbb\xbf{"uri": "a.mp4"}\n', (1, 0)),
    "CRLF and blank lines": (b'{"uri": "a.mp4"}\r\n\r\n\r\n', (1, 0)),
    "NaN as start": (b'{"uri": "a.mp4", "start_s": NaN}\n', (1, 0)),
    "true as start": (b'{"uri": "a.mp4", "start_s": {}}\n{"uri": "b.mp4"}\n', (1, 1)),
    "null as uri": (b'{"uri": null}\n{"uri": "a.mp4"}\n', (1, 1)),
    "a key twice": (b'{"uri": "b.mp4", "uri": "a.mp4"}\n', (1, 0)),
    "values of any kind": (b'{"uri": "a.mp4", "label": [1, {"a": null}], "split": false}\n{"uri": "b.mp4"}\n', (1, 1)),
    "a line of five megabytes": (b'{"uri": "a.mp4", "else": "' + b"x" * 5_000_000 + b'"}\n', (1, 0)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, a folder and a table that name others."""
    import os

    place = tmp_path_factory.mktemp("tables")
    helpers_catalog.video(place / "a.mp4", 2.0)
    helpers_catalog.video(place / "b.mp4", 2.0, hue=90)
    (place / "folder.mp4").mkdir()
    os.mkfifo(place / "fifo.mp4")
    (place / "other.csv").write_text("uri\ntable.csv\n")
    return place


def listed(table: Path) -> CatalogListing:
    return list_sources([str(table)], CatalogSettings())


def check(table: Path, fate: Fate) -> CatalogListing | None:
    if fate == REFUSED:
        with pytest.raises(ValueError, match=table.name):
            listed(table)
        return None
    listing = listed(table)
    assert (len(listing.sources), len(listing.rejects)) == fate
    for _, error in listing.rejects:
        assert len(str(error)) < 2000
    return listing


@pytest.mark.parametrize("kind", CSV)
def test_csv(folder: Path, kind: str) -> None:
    """a CSV table with"""
    (folder / "table.csv").write_bytes(CSV[kind][0])
    check(folder / "table.csv", CSV[kind][1])


@pytest.mark.parametrize("kind", PARQUET)
def test_parquet(folder: Path, kind: str) -> None:
    """a Parquet table with"""
    pq.write_table(PARQUET[kind][0](), folder / "table.parquet")
    check(folder / "table.parquet", PARQUET[kind][1])


@pytest.mark.parametrize("kind", JSON)
def test_json(folder: Path, kind: str) -> None:
    """a table of JSON lines with"""
    (folder / "table.jsonl").write_bytes(JSON[kind][0])
    check(folder / "table.jsonl", JSON[kind][1])


@pytest.mark.parametrize(("column", "values"), [("start_s", STARTS), ("duration_s", DURATIONS)])
def test_spans(folder: Path, column: str, values: dict[str, bool]) -> None:
    """numbers, words, infinities, negative and empty values in"""
    for value, taken in values.items():
        (folder / "table.csv").write_text(f'uri,{column}\na.mp4,"{value}"\nb.mp4,\n')
        listing = listed(folder / "table.csv")
        assert (len(listing.sources), len(listing.rejects)) == ((2, 0) if taken else (1, 1)), value


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("damage", ["cut", "noise", "another format"])
def test_damaged(folder: Path, suffix: str, damage: str) -> None:
    """a damaged table is refused, naming it"""
    table = folder / f"table.{suffix}"
    pq.write_table(pa.table({"uri": ["a.mp4"] * 99}), folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    content = {"cut": whole[:-100], "noise": bytes(range(256)) * 40, "another format": b"PK\x03\x04" + bytes(500)}
    table.write_bytes(content[damage])
    check(table, REFUSED)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_hundred_thousand_rows(folder: Path, suffix: str) -> None:
    """a table of 100,000 rows, half of them of missing files, is listed within a minute"""
    table = folder / f"large.{suffix}"
    uris = [f"{'a' if row % 2 else 'missing'}.mp4" for row in range(100_000)]
    starts = [row / 100 for row in range(100_000)]
    if suffix == "csv":
        table.write_text("uri,start_s\n" + "".join(f"{uri},{start}\n" for uri, start in zip(uris, starts, strict=True)))
    elif suffix == "jsonl":
        lines = (json.dumps({"uri": uri, "start_s": start}) for uri, start in zip(uris, starts, strict=True))
        table.write_text("\n".join(lines))
    else:
        pq.write_table(pa.table({"uri": uris, "start_s": starts}), table)
    started = time.monotonic()
    listing = listed(table)
    assert (len(listing.sources), len(listing.rejects)) == (50_000, 50_000)
    assert time.monotonic() - started < 60


def test_tables_below_a_folder(folder: Path) -> None:
    """Tables inside a folder that is listed are passed over: none can pull in others"""
    listing = list_sources([str(folder)], CatalogSettings())
    assert [source.name for source in listing.sources] == ["a.mp4", "b.mp4"]


ROWS: dict[str, tuple[str, set[str]]] = {
    "the first half second": ("a.mp4,0,0.5", {"ok"}),
    "a span over the end": ("a.mp4,1.5,100", {"ok"}),
    "a start behind the end": ("a.mp4,50,1", {"rejected"}),
    "a thousandth of a second": ("a.mp4,0.5,0.001", {"ok", "rejected"}),
    "a start of 1e300": ("a.mp4,1e300,1", {"rejected"}),
    "a duration of 1e300": ("b.mp4,0,1e300", {"ok", "rejected"}),
    "a missing file": ("missing.mp4,0,1", {"rejected"}),
    "a negative span": ("a.mp4,1,-1", {"rejected"}),
    "a picture with a span": ("still.png,0,1", {"ok", "rejected"}),
}


@pytest.fixture(scope="module")
def runs(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[dict[str, Any]]]]:
    """Both jobs over one table of odd rows: exit code and rows."""
    place = tmp_path_factory.mktemp("run")
    for name in ("a.mp4", "b.mp4"):
        helpers_catalog.video(place / name, 2.0)
    helpers_catalog.still(place / "still.png")
    lines = [f"{row},{kind}" for kind, (row, _) in ROWS.items()]
    (place / "table.csv").write_text("uri,start_s,duration_s,label\n" + "\n".join(lines) + "\n")
    mapper = helpers_attacks.small_mapper(place / "mapper")
    embedded = helpers_attacks.embed([place / "table.csv"], place / "embedded")
    made = helpers_attacks.generate([place / "table.csv"], place / "made", mapper)
    return {
        "embed": (embedded, helpers_attacks.rows(place / "embedded")),
        "generate": (made, helpers_attacks.rows(place / "made", "index")),
    }


@pytest.mark.parametrize("job", ["embed", "generate"])
def test_odd_rows(runs: dict[str, tuple[int, list[dict[str, Any]]]], job: str) -> None:
    """Spans behind the end, negative, tiny, endless, missing files in one table: each costs its row"""
    code, rows = runs[job]
    assert code == 0
    found = {str(row["label"]): row["status"] for row in rows}
    for kind, (_, fate) in ROWS.items():
        if kind in found:
            assert found[kind] in fate, kind
    assert sum(row["status"] == "rejected" for row in rows) >= 4
    assert len(rows) >= len(ROWS)
