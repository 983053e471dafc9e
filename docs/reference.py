"""The pages that are made from code: every column, every setting; and in CONTRIBUTING.md the registries and the quotes.

make reference    # writes them; a test fails when one is not current
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from v2a_core.config import Option, Settings, options
from v2a_core.metrics.extractors.network import LOGITS, embedding_column
from v2a_core.metrics.extractors.schema import evaluated_columns
from v2a_core.metrics.extractors.verdicts import Verdicts
from v2a_core.models import BundleSettings
from v2a_core.tables.beside import GROUPS, beside_columns
from v2a_core.tables.clips import CLIP_COLUMNS, SYSTEM_SOUND_COLUMNS
from v2a_core.tables.columns import Column
from v2a_core.tables.features import feature_columns
from v2a_core.tables.lessons import lesson_columns
from v2a_core.tables.schema import SCHEMA_VERSION, UNFINISHED_COLUMNS, embedding_columns, index_columns
from workflows.command.commands import COMMANDS
from workflows.costing.config import ClusterFile, NodePool

ROOT = Path(__file__).resolve().parents[1]
_QUOTE = re.compile(r"(<!-- quoted: (\S+) -->\n)```python\n.*?```\n", re.DOTALL)
_REGISTRIES = re.compile(r"(<!-- made: registries -->\n(?:[^\n]*\n){2})(.*?)(<!-- end -->)", re.DOTALL)
_NOTE = "<!-- Made by `make reference`: change the code, not this page. -->"

TABLES: tuple[tuple[str, str, Iterable[Column]], ...] = (
    (
        "Embeddings",
        "`v2a embed`, `rows/`: a row a segment. Of a source that could not be read at all there is one row, rejected, "
        "with `segment_index` -1.",
        embedding_columns(timing=True),
    ),
    (
        "Sidecar",
        "`v2a embed --beside …`, `rows/`: a row a segment of other embeddings, with what these lack: the frames of "
        "another encoder, the denser frames, what is heard beside them, or several of these.",
        beside_columns(GROUPS),
    ),
    (
        "Index",
        "`v2a generate`, `index/`: a row a source, with the soundtrack that was made for it.",
        index_columns(timing=True),
    ),
    (
        "Evaluated segments",
        "`v2a evaluate`, `rows/`: a row a segment of a soundtrack. What belongs to the original sound is null where "
        "there is none.",
        evaluated_columns(),
    ),
    (
        "Sounds of an adapter",
        "`v2a train-adapter`, `sounds/rows/`: a row a segment of a sound, with what the frozen models make of it. Each "
        "frame of `latents` has as many numbers as the generator's latents have channels times bins.",
        lesson_columns(128),
    ),
    (
        "Features",
        "`v2a evaluate`, `features/{made,references}/EXTRACTOR/WEIGHTS-PROTOCOL/rows/`: a row a sound, for each "
        "published network whose weights the settings name, for the bundle's CLAP and for the judge. `embedding`, and "
        "`logits` where it has classes, are a network's, the verdict is the judge's.",
        feature_columns((embedding_column("numbers of the network's embedding"), LOGITS, *Verdicts.columns)),
    ),
    (
        "Sounds of systems",
        "`v2a evaluate --system …`, `sounds.parquet`: a row a file of each system and of the references, of those, "
        "too, that cannot be heard.",
        SYSTEM_SOUND_COLUMNS,
    ),
    (
        "Clips of systems",
        "`v2a evaluate --system …`, `clips.parquet`: a row for each clip and metric that is a mean over clips.",
        CLIP_COLUMNS,
    ),
    (
        "Unfinished",
        "`unfinished/sources.parquet` of every job: a row a source that could not be fetched, or whose files could not "
        "be written (`reject_stage` is `fetch` or `write`). These rows are not final: they stand neither in `rows/` "
        "nor in `index/`.",
        UNFINISHED_COLUMNS,
    ),
)


def pages() -> dict[str, str]:
    """The text of each page by its path in the checkout."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {
        "docs/columns.md": "\n".join(_columns_page()),
        "docs/settings.md": "\n".join(_settings_page()),
        "CONTRIBUTING.md": _QUOTE.sub(_quoted, _REGISTRIES.sub(rf"\1{_registries()}\n\3", contributing)),
    }


def _quoted(found: re.Match[str]) -> str:
    code = (ROOT / found[2]).read_text(encoding="utf-8").strip()
    return f"{found[1]}```python\n{code}\n```\n"


def _registries() -> str:
    """A line of a table for each registry in the code: its kind, where it is, its group of entry points."""
    lines = []
    for path in sorted(path for package in ("v2a_core", "workflows") for path in (ROOT / package).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
                call = node.value
                if ast.unparse(call.func) == "Registry" and isinstance(node.target, ast.Name):
                    kind, group = (ast.literal_eval(argument) for argument in call.args[:2])
                    lines.append(f"| {kind} | `{node.target.id}` in `{path.relative_to(ROOT)}` | `{group}` |")
    return "\n".join(sorted(lines))


def _columns_page() -> Iterator[str]:
    yield from (_NOTE, "", "# Columns", "")
    yield f"Every column of every table that a job writes, in schema version {SCHEMA_VERSION}."
    yield "[outputs.md](outputs.md) says which file is what, and how to read them."
    for title, about, columns in TABLES:
        yield from ("", f"## {title}", "", about, "", "| column | type | meaning; unit |", "|---|---|---|")
        for column in columns:
            yield f"| `{column.name}` | {_cell(column.told_type)} | {_cell(column.meaning)} |"
    yield ""


def _settings_page() -> Iterator[str]:
    yield from (_NOTE, "", "# Settings", "")
    yield "`--set key=value` sets one, `--config FILE` many. Where a group belongs to a component that `kind` names,"
    yield "the meaning begins with the name of that component."
    for name in COMMANDS.names():
        settings = COMMANDS[name].settings
        if settings is not None:
            yield from _table(f"v2a {name}", COMMANDS[name].component.meaning, settings)
    yield from _table("Model bundles", "what a YAML file for `--models` holds", BundleSettings)
    yield from _table("Cluster files", "what a YAML file for `--cluster` of `v2a plan` holds", ClusterFile)
    yield from _table("Pools of cluster files", "what each of `pools` says of its nodes", NodePool)
    yield ""


def _table(title: str, about: str, settings: type[Settings]) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"{_cell(about[0].upper() + about[1:])}.", "")
    yield from ("| setting | default | meaning | type |", "|---|---|---|---|")
    yield from (_setting_row(option) for option in options(settings))


def _setting_row(option: Option) -> str:
    flag = f"; `{option.flag}`" if option.flag else ""
    return f"| `{option.key}` | {_cell(option.default_text)} | {_cell(option.meaning)}{flag} | {_cell(option.type)} |"


def _cell(value: object) -> str:
    """Text inside of a table: a bar ends a cell, angle brackets are tags outside of code, and square ones links."""
    told = str(value).replace("|", "\\|")
    pieces = told.split("`")
    pieces[::2] = [piece.replace("<", "&lt;").replace("[", "&#91;").replace("*", "\\*") for piece in pieces[::2]]
    return "`".join(pieces)


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
