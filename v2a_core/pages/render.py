"""A template to a page: one HTML file without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

_SHARED = Path(__file__).parent


def render(
    template: Path,
    values: Mapping[str, object],
    *,
    title: str,
    script: str = "",
    pictures: bool = False,
    includes: Path | None = None,
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> bytes:
    """The page of a template that extends `base.html`.

    Text in values is escaped, and a content security policy allows the one script by its hash, and media beside the
    page where there is a script to play them, or where there are pictures.

    Args:
        template: The file; what it includes lies beside it.
        values: By the names that the template has for them; each that it names must be there.
        title: Of the page.
        script: What runs on it.
        pictures: Whether it shows pictures beside it without a script.
        includes: A further folder of files that it includes.
        filters: Of the template.

    Returns:
        UTF-8.
    """
    environment = _environment([template.parent, *([includes] if includes else []), _SHARED])
    environment.filters.update(filters or {})
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template.name).render(
        {
            **values,
            "title": title,
            "script": script,
            "script_hash": f"'sha256-{digest}'",
            "media": bool(script) or pictures,
        }
    )
    return page.encode()


def _environment(folders: list[Path]) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
