"""Tables of sources: what a row says, and that a broken row costs itself alone."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.catalog import CatalogListing, CatalogSettings, list_sources, source_id
from v2a_core.media.config import FrameSettings, SegmentSettings

VIDEO = b"video bytes " * 50


def listing(*inputs: object) -> CatalogListing:
    return list_sources([str(given) for given in inputs], CatalogSettings())


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(VIDEO)


def reasons(found: CatalogListing) -> list[str]:
    return [str(error) for _, error in found.rejects]


ROWS = [
    {"uri": "v/a.mp4", "start_s": 1.5, "duration_s": 2.0, "label": 'rain, "heavy"', "split": "train", "caption": "x"},
    {"uri": "v/a.mp4", "start_s": 4.0, "duration_s": 2.0, "label": "rain", "split": "train", "caption": None},
    {"uri": "v/b c.png", "start_s": None, "duration_s": None, "label": "still", "split": "test", "caption": None},
    {"uri": "v/missing.mp4", "start_s": None, "duration_s": None, "label": "gone", "split": "test", "caption": None},
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "v/a.mp4", "v/b c.png")
    path = tmp_path / f"table.{suffix}"
    if suffix == "csv":
        quoted = ROWS[0]["label"].replace('"', '""')  # type: ignore[union-attr]
        lines = [
            f'v/a.mp4,1.5,2,"{quoted}",train,x',
            "v/a.mp4,4,2,rain,train,",
            "v/b c.png,,,still,test,",
            "v/missing.mp4,,,gone,test,",
        ]
        path.write_text("\ufeff" + "\r\n".join(["uri,start_s,duration_s,label,split,caption", *lines]))
    elif suffix == "jsonl":
        path.write_text("\n".join([json.dumps(row) for row in ROWS] + [""]))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    found = listing(path)
    first, second, third = found.sources
    assert (first.start_s, first.duration_s, first.label, first.split, first.caption) == tuple(ROWS[0].values())[1:]
    assert (second.start_s, second.caption) == (4.0, None)
    assert (third.kind, third.name, third.start_s) == ("image", "v/b c.png", None)
    ((missing, error),) = found.rejects
    assert (missing.label, missing.uri) == ("gone", str(tmp_path / "v/missing.mp4"))
    assert error.error_type == "NotFound"


def test_bad_rows_are_rejects_and_good_ones_survive(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rows = [
        "a.mp4,",
        "a.mp4,later",
        "a.mp4,-1",
        "a.mp4,inf",
        ",1",
        "a.txt,",
        "a.mp4,nan",
        "../" * 50 + "x.mp4,",
        "a\0b.mp4,",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["uri,start_s", *rows]))
    found = listing(tmp_path / "t.csv")
    assert [source.name for source in found.sources] == ["a.mp4"]
    kinds = [error.error_type for _, error in found.rejects]
    assert kinds == [*["BadRow"] * 4, "NotMedia", "NotFound", "BadRow"]
    assert "t.csv, line 3: column start_s = 'later'" in str(found.rejects[0][1])
    assert len({source_id(source, SegmentSettings(), FrameSettings()) for source, _ in found.rejects}) == 7


def test_a_table_without_uri_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("URL,label\na.mp4,x\n")
    with pytest.raises(ValueError, match=r"no column `uri`.*'URL'.*did you mean"):
        listing(tmp_path / "t.csv")
    for name in ("t.jsonl", "t.parquet"):
        (tmp_path / name).write_bytes(b"{nonsense\n")
        with pytest.raises(ValueError, match="not readable"):
            listing(tmp_path / name)


# Each of them beside two good rows; the text of its reject.
BAD_LINES = {
    "half a pair of UTF-16": (b'{"uri": "a.mp4", "label": "\\ud800"}', "column label"),
    "the same as a name": (b'{"uri": "\\ud800.mp4"}', "column uri"),
    "a time beyond all": (b'{"uri": "a.mp4", "start_s": 1e308}', "column start_s = 1e+308 is out of range"),
    "a number of 400 digits": (b'{"uri": "a.mp4", "start_s": ' + b"9" * 400 + b"}", "column start_s"),
    "a number of 5,000 digits": (b'{"uri": "a.mp4", "label": ' + b"9" * 5000 + b"}", "not readable as JSON"),
    "lists in lists": (b'{"uri": "a.mp4", "label": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not readable as JSON"),
    "lists in lists that JSON reads": (b'{"uri": "a.mp4", "label": ' + b"[" * 400 + b"]" * 400 + b"}", "column label"),
    "bytes that are not UTF-8": (b'{"uri": "a.mp4", "label": "\xff"}', "column label"),
    "no object": (b"[1]", "must hold a JSON object"),
    "no uri": (b'{"url": "a.mp4"}', "did you mean 'url'"),
    "cut": (b'{"uri": "a.m', "not readable as JSON"),
    "a yes for a time": (b'{"uri": "a.mp4", "start_s": true}', "column start_s"),
    "a span of nothing": (b'{"uri": "a.mp4", "duration_s": 1e-9}', "column duration_s"),
    "a label of 200,000 letters": (b'{"uri": "a.mp4", "label": "' + b"x" * 200_000 + b'"}', "200,000 characters"),
    "a name of 200,000 letters": (b'{"uri": "' + b"x" * 200_000 + b'.mp4"}', "200,004 characters"),
    "a name no file can have": (b'{"uri": "a\\u0000.mp4"}', "no file can have"),
    "a name that is too long": (b'{"uri": "' + b"x" * 5000 + b'.mp4"}', "name too long"),
    "nobody's home": (b'{"uri": "~nobody-of-this-name/a.mp4"}', "no such file"),
    "a folder": (b'{"uri": "folder.mp4"}', "no such file"),
    "a link to itself": (b'{"uri": "loop.mp4"}', "symbolic link"),
    "ssh": (b'{"uri": "ssh://host.invalid/a.mp4"}', "ssh://host.invalid/a.mp4"),
    "abfs": (b'{"uri": "abfs://container/a.mp4"}', "abfs://container/a.mp4"),
    "reference": (b'{"uri": "reference://a.mp4"}', "reference://a.mp4"),
    "no scheme of any package": (b'{"uri": "nonsense://a.mp4"}', "nonsense://a.mp4"),
    "a chain": (b'{"uri": "zip://a.mp4::ssh://host.invalid/b.zip"}', "zip://a.mp4"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_costs_itself_and_is_told(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "folder.mp4/x.txt")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    line, told = BAD_LINES[name]
    (tmp_path / "t.jsonl").write_bytes(b'{"uri": "a.mp4"}\n' + line + b'\n{"uri": "b.mp4"}\n')
    found = listing(tmp_path / "t.jsonl")
    assert [source.name for source in found.sources] == ["a.mp4", "b.mp4"]
    ((source, error),) = found.rejects
    assert "t.jsonl, line 2" in str(error)
    assert told in str(error)
    assert len(str(error)) < 11_000
    json.dumps(source.to_row(), ensure_ascii=False).encode()  # it can be written down
    source_id(source, SegmentSettings(), FrameSettings())


def test_letters_that_end_lines_elsewhere_are_letters_of_a_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    row = json.dumps({"uri": "a.mp4", "label": "one\u2028two\x85three\u2029"}, ensure_ascii=False)
    (tmp_path / "t.jsonl").write_text(f'{row}\r\n\n{row[:-1]}, "start_s": 1}}', newline="")
    assert [source.label for source in listing(tmp_path / "t.jsonl").sources] == ["one\u2028two\x85three\u2029"] * 2


def test_spans_that_are_the_same_are_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    lines = [json.dumps({"uri": "a.mp4", "start_s": start}) for start in (0.3, 0.30000000000000004, 0.3000001, "0.3")]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, *lines]))
    found = listing(tmp_path / "t.jsonl")
    assert [source.start_s for source in found.sources] == [0.3]
    assert found.skipped_reasons == {"duplicate": 7}


def test_missing_files_of_a_pattern_are_told_once(tmp_path: Path) -> None:
    touch(tmp_path, "0.mp4")
    pattern = f"{tmp_path}/{{0..2}}.mp4"
    found = listing(pattern, pattern)
    assert len(found.rejects) == len({source_id(s, SegmentSettings(), FrameSettings()) for s, _ in found.rejects}) == 2


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_line_of_json_takes_its_neighbours(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.getbasetemp() / "lines"
    touch(folder, "good.mp4")
    good = [json.dumps({"uri": "good.mp4", "start_s": index}).encode() for index in range(len(lines) + 1)]
    mixed = [line for pair in zip(good, [*lines, b""], strict=True) for line in pair]
    (folder / "t.jsonl").write_bytes(b"\n".join(mixed))
    found = listing(folder / "t.jsonl")
    assert [source.start_s for source in found.sources if source.name == "good.mp4"] == list(range(len(good)))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_every_cell_that_csv_can_spell_is_read(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cells"
    touch(folder, "good.mp4")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([["uri", "start_s", "label", "caption"]])
    writer.writerows(["good.mp4", index, *pair] for index, pair in enumerate(cells))
    (folder / "t.csv").write_text(text.getvalue(), newline="")
    found = listing(folder / "t.csv")
    assert [(source.label, source.caption) for source in found.sources] == [
        tuple(cell if cell.strip() else None for cell in pair) for pair in cells
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (b'b.mp4,0,"a quote without end', "not readable as CSV"),
        (b'b.mp4,0,"a quote" that ends too soon and again "', ""),
        (b"b.mp4,0," + b"x" * 140_000, "column label holds 140,000 characters"),
        (b'b.mp4,0,"' + b"x" * 140_000 + b'"', "column label holds 140,000 characters"),
        (b"b.mp4,0,\xff\xfe", "column label"),
        (b"b.mp4,1e308,x", "column start_s"),
        (b"b.mp4," + b"9" * 5000 + b",x", "column start_s"),
    ],
)
def test_a_bad_row_of_a_csv_takes_no_neighbour(tmp_path: Path, row: bytes, told: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    more = b'c.mp4,0,"5"" nail"\r\nd.mp4,0,"two\r\nlines"\r\n'
    (tmp_path / "t.csv").write_bytes(b"uri,start_s,label\r\na.mp4,0,x\r\n" + row + b"\r\n" + more)
    found = listing(tmp_path / "t.csv")
    assert [source.name for source in found.sources if source.name != "b.mp4"] == ["a.mp4", "c.mp4", "d.mp4"]
    assert [source.label for source in found.sources][-2:] == ['5" nail', "two\r\nlines"]
    if told:
        (message,) = reasons(found)
        assert message.startswith("t.csv, line 3: ")
        assert told in message


def test_quotes_that_open_without_end_cost_no_hours(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("uri,label\n" + 'a"b,"c\n' * 5000)
    assert len(listing(tmp_path / "t.csv").rejects) == 5000


def test_text_that_is_none_in_parquet_costs_its_row(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    raw = pa.array([b"fine", b"\xff\xfe", b"too"], pa.binary())
    labels = pa.Array.from_buffers(pa.string(), 3, raw.buffers())  # as programs that do not check write it
    names = pa.array([b"a.mp4"] * 3, pa.binary())
    columns = {"uri": names, "start_s": pa.array([0, 1, 2], pa.int64()), "label": labels}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = listing(tmp_path / "t.parquet")
    assert [(source.label, source.start_s) for source in found.sources] == [("fine", 0.0), ("too", 2.0)]
    assert reasons(found)[0].startswith("t.parquet, row 2: column label")


def test_a_table_of_another_encoding_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("uri\na.mp4\n", encoding="utf-16")
    with pytest.raises(ValueError, match="UTF-16: save it as UTF-8"):
        listing(tmp_path / "t.csv")


def test_duplicates_with_other_labels_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = [("a.mp4", "rain"), ("b.mp4", "bell"), ("a.mp4", "rain"), ("a.mp4", "thunder"), ("b.mp4", "")]
    (tmp_path / "t.csv").write_text("uri,label\n" + "".join(f"{uri},{label}\n" for uri, label in rows))
    found = listing(tmp_path / "t.csv")
    assert [source.label for source in found.sources] == ["rain", "bell"]
    assert found.skipped_reasons == {"duplicate": 1, "duplicate with other labels": 2}
    (note,) = found.notes
    assert "t.csv: 2 rows name what is listed already, with other labels; the first counts" in note
    assert f"t.csv, line 5: {tmp_path}/a.mp4" in note


def test_rows_of_many_files_stay_in_order(tmp_path: Path) -> None:
    names = [f"{index % 7}/{index}.mp4" for index in range(300)]
    touch(tmp_path, *names[::2])
    (tmp_path / "t.csv").write_text("uri\n" + "\n".join(names))
    found = listing(tmp_path / "t.csv")
    assert [source.name for source in found.sources] == names[::2]
    assert [source.name for source, _ in found.rejects] == names[1::2]
