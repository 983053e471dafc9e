"""`v2a page` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import add_config, load_settings
from workflows.page.config import PageSettings

_DESCRIPTION = (
    "A page to listen to what `v2a generate` made, to filter it, and to see what was rejected; or to systems side by "
    "side that `v2a evaluate --system` compared, the worst clips first."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "soundtracks", metavar="SOUNDTRACKS", help="folder or URI that `v2a generate` wrote, or a comparison of systems"
    )
    parser.add_argument(
        "--output", metavar="URI", help="page.html, or a folder for it (default: beside the soundtracks)"
    )
    parser.add_argument(
        "--metrics", metavar="URI", help="folder or URI that `v2a evaluate` wrote for them: their scores"
    )
    add_config(parser, "page")


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "page", PageSettings)
    from workflows.page import job

    job.run(arguments.soundtracks, settings, output=arguments.output, metrics=arguments.metrics)
    return DONE


COMMANDS.add(
    "page",
    Command("a page to listen to what `v2a generate` made", _add_arguments, _run, _DESCRIPTION),
    PageSettings,
)
