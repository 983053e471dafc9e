"""What all pages that we write have in common: they stand alone, text is escaped, and only their own script runs.

A page is one HTML file from a template, with its style and its one script inside. A content security policy allows
that script by its hash and nothing else: no other script, nothing from another place, no form. Data come as escaped
text and attributes, never as a script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

_SHARED = Path(__file__).parent
SCRIPT_FILE = "script.js"


def render_page(
    folder: Path,
    template: str,
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> str:
    """A page as text.

    Args:
        folder: Holds the template, its styles, and its script as `script.js`.
        template: Name of the template. It gets `policy`, for its `<meta>`, and `script` beside the values.
        values: Escaped where they are shown.
        filters: Of the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    script = (folder / SCRIPT_FILE).read_text(encoding="utf-8")
    return environment.get_template(template).render(**values, script=script, policy=_policy(script))


def _policy(script: str) -> str:
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "img-src 'self' file:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
