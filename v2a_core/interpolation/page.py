"""The page of an interpolation: the steps in a row, to be heard one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from v2a_core import pages, storage
from v2a_core.interpolation.ends import End

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """A sound on the way.

    Attributes:
        file: Its name beside the page.
        weight: Share of the second end, 0..1.
        loudness_lufs: How loud it is.
    """

    file: str
    weight: float
    loudness_lufs: float


def write_page(output: str, ends: tuple[End, End], steps: Sequence[Step], bundle: str, *, trained: bool) -> str:
    """Write `index.html`, and what is shown of the ends beside it.

    Args:
        output: Folder or URI that holds the steps' files.
        ends: From what to what; their texts are escaped.
        steps: In order.
        bundle: Name of the models.
        trained: Whether their weights are.

    Returns:
        The page's URI.
    """
    shown = [_shown(output, end, name) for end, name in zip(ends, ("from", "to"), strict=True)]
    values: dict[str, object] = {"shown": shown, "steps": steps, "bundle": bundle, "trained": trained}
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    html = pages.render(_HERE / "page.html", values, title="From one sound to another", script=script)
    uri = storage.join(output, "index.html")
    storage.write_bytes(uri, html)
    return uri


def _shown(output: str, end: End, name: str) -> dict[str, str]:
    """An end for the template; files are copied beside the page, so that the folder can be moved."""
    if end.kind == "text":
        return {"kind": "text", "text": end.given}
    file = f"{name}{Path(end.given).suffix.lower()}"
    with storage.local_copy(end.given) as path, storage.writing(storage.join(output, file)) as target:
        shutil.copyfile(path, target)
    return {"kind": end.kind, "text": Path(end.given).name, "file": quote(file)}
