"""`v2a page` on the command line."""

from __future__ import annotations

import argparse
from typing import Any

from workflows.command.exit_codes import DONE, MEANINGS
from workflows.command.options import add_config, add_flags, load_settings, settings_table
from workflows.page.config import PageSettings

_MEANING = "a page to listen to what `v2a generate` made"


def add_page_command(commands: Any) -> None:
    """Add `page`; it sets `command`: arguments -> exit code."""
    page = commands.add_parser(
        "page",
        help=_MEANING,
        description=f"{_MEANING[0].upper()}{_MEANING[1:]}, to filter it, and to see what was rejected.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"settings (--set key=value, or YAML for --config):\n{settings_table(PageSettings)}\n\n{MEANINGS}",
    )
    page.add_argument("soundtracks", metavar="SOUNDTRACKS", help="folder or URI that `v2a generate` wrote")
    page.add_argument("--output", metavar="URI", help="page.html, or a folder for it (default: beside the soundtracks)")
    page.add_argument("--metrics", metavar="URI", help="folder or URI that `v2a evaluate` wrote for them: their scores")
    add_config(page, "page")
    add_flags(page, PageSettings)
    page.set_defaults(command=_page)


def _page(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "page", PageSettings)
    from workflows.page import job as page

    page.run(arguments.soundtracks, settings, output=arguments.output, metrics=arguments.metrics)
    return DONE
