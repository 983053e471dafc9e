"""Documents say what the program does: columns, settings, ways to read an output, messages, links."""

from __future__ import annotations

import ast
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.tables.beside import GROUPS, beside_schema
from v2a_core.tables.latest import latest
from v2a_core.tables.schema import UNFINISHED, embeddings_schema, index_schema

ROOT = Path(__file__).parents[2]
OUTPUTS = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
COLUMNS = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
COLUMN = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
PAGES = [page for place in ("*.md", "docs/*.md", "cluster/*.md", "examples/*.md") for page in sorted(ROOT.glob(place))]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The pages that are made from code, in a process where nothing else is registered."""
    code = "import json, runpy; print(json.dumps(runpy.run_path('docs/reference.py')['pages']()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def section(title: str) -> str:
    return re.split(r"^## ", COLUMNS.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("name", ["docs/columns.md", "docs/settings.md", "CONTRIBUTING.md"])
def test_a_page_that_is_made_from_code_is_current(name: str, made: dict[str, str]) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == made[name], f"{name} is not what the code says: run `make reference`"


def test_every_worked_page_quotes_a_file() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quoted = re.findall(r"<!-- quoted: (\S+) -->\n```python\n(.*?)```", page, re.DOTALL)
    assert quoted
    for path, code in quoted:
        assert code.strip() == (ROOT / path).read_text(encoding="utf-8").strip(), path


@pytest.mark.parametrize(
    ("title", "schema"),
    [
        ("Embeddings", embeddings_schema(timing=True)),
        ("Sidecar", beside_schema(GROUPS)),
        ("Index", index_schema(timing=True)),
        ("Evaluated segments", evaluated_schema()),
        ("Unfinished", UNFINISHED),
    ],
)
def test_every_column_is_told_with_its_type_and_meaning(title: str, schema: pa.Schema) -> None:
    lines = COLUMN.findall(section(title))
    told = [
        (name, kind.replace("&lt;", "<").replace("&#91;", "[")) for name, kind, meaning in lines if len(meaning) > 3
    ]
    assert told == [(field.name, re.sub(r"(item|element): ", "", str(field.type))) for field in schema]


def test_the_documented_lines_read_the_newest_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = [datetime.datetime(2024, 1, 1, hour, tzinfo=datetime.UTC) for hour in range(5)]
    keys, ids = ["a", "a", "b", "a", "c"], ["a1", "a1", "b1", "a2", "c1"]
    table = pa.table({"source_key": keys, "source_id": ids, "recorded_at": hours})
    table = table.take([3, 0, 4, 2, 1])  # parts are named by their contents: rows are read in no order of time
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
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link or link.startswith("mailto:"):
                continue
            file, _, anchor = link.partition("#")
            target = Path(os.path.normpath(page.parent / file)) if file else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings]


def texts_of_the_code() -> str:
    """Every text in the code, with nothing where a value is put in."""
    found = []
    for path in [*(ROOT / "v2a_core").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                pieces = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(pieces))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_message_that_is_explained_is_one_of_the_program() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    messages = [message for heading in headings for message in re.findall(r"`([^`]+)`", heading)]
    assert len(messages) > 15
    # On the page for those who watch a run, messages stand in the text.
    watching = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    messages += [text for text in re.findall(r"`([^`]+)`", watching) if "…" in text]
    code = texts_of_the_code()
    for message in messages:
        for piece in filter(None, (piece.strip() for piece in message.split("…"))):
            assert piece in code, f"{message}: nothing prints {piece!r}"
    kinds = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    for kind in re.findall(r"\w+", " ".join(kinds).replace("reject_type", "")):
        assert kind in code, f"nothing is rejected as {kind}"


def test_the_site_can_be_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vision_frames" in (tmp_path / "site" / "columns.html").read_text(encoding="utf-8")
