"""Documents say what the program does: tables of columns, ways to read an output."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from v2a_core.tables.evaluated import EVALUATED
from v2a_core.tables.latest import latest
from v2a_core.tables.schema import EMBEDDINGS, INDEX, UNFINISHED

ROOT = Path(__file__).parents[2]
OUTPUTS = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
COLUMN = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def section(title: str) -> str:
    return re.split(r"^## ", OUTPUTS.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(
    ("title", "schema"),
    [
        ("Embeddings", EMBEDDINGS),
        ("Index", INDEX),
        ("Evaluated segments", EVALUATED),
        ("Unfinished", UNFINISHED),
    ],
)
def test_every_column_is_told_with_its_type_and_meaning(title: str, schema: pa.Schema) -> None:
    told = [(name, kind) for name, kind, meaning in COLUMN.findall(section(title)) if len(meaning) > 3]
    assert told == [(field.name, re.sub(r"(item|element): ", "", str(field.type))) for field in schema]


def test_the_documented_lines_read_the_newest_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = [datetime.datetime(2024, 1, 1, hour, tzinfo=datetime.UTC) for hour in range(5)]
    keys, ids = ["a", "a", "b", "a", "c"], ["a1", "a1", "b1", "a2", "c1"]
    table = pa.table({"source_key": keys, "source_id": ids, "recorded_at": hours})
    (tmp_path / "embeddings" / "rows").mkdir(parents=True)
    pq.write_table(table.slice(0, 3), tmp_path / "embeddings" / "rows" / "part-1.parquet")
    pq.write_table(table.slice(3), tmp_path / "embeddings" / "rows" / "part-2.parquet")
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", OUTPUTS, re.DOTALL)[0], found)
    expected = latest(table)["source_id"].to_pylist()
    assert sorted(found["rows"]["source_id"]) == sorted(expected) == ["a2", "b1", "c1"]  # type: ignore[index]


def test_one_line_of_sql_is_told_everywhere() -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", OUTPUTS, re.DOTALL)
    code = (ROOT / "v2a_core" / "tables" / "latest.py").read_text(encoding="utf-8")
    assert " ".join(sql.split()) in " ".join(code.split())
    assert " ".join(sql.split()) in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_links_between_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "cluster" / "README.md"]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link or link.startswith("mailto:"):
                continue
            file, _, anchor = link.partition("#")
            target = Path(os.path.normpath(page.parent / file)) if file else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings]
