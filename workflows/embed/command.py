"""`v2a embed` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_catalog, add_job_arguments, add_run_arguments, asked_of_catalog
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.embed.config import EmbedJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "embed")
    add_run_arguments(parser)
    add_catalog(parser)
    parser.add_argument(
        "--beside",
        metavar="EMBEDDINGS",
        help="folder or URI that `v2a embed` wrote: of its segments only what it lacks is embedded, into a sidecar",
    )


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "embed", EmbedJob)
    if arguments.beside:
        from workflows.embed import beside

        beside.run(arguments.catalog, arguments.beside, arguments.output, settings, **asked_of_catalog(arguments))
        return DONE
    from workflows.embed import job

    job.run(arguments.catalog, arguments.output, settings, **asked_of_catalog(arguments))
    return DONE


COMMANDS.add("embed", Command("a catalog -> embeddings in Parquet, a row a segment", _add_arguments, _run), EmbedJob)
