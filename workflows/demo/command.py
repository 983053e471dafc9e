"""`v2a demo` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_address, add_models
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", default="demo-output", metavar="DIR", help="local folder (default: %(default)s)")
    add_models(parser, "miniature")
    add_address(parser)


def _run(arguments: argparse.Namespace) -> int:
    from workflows.demo import job

    job.run(arguments.output, models=arguments.models, address=arguments.address)
    return DONE


COMMANDS.add("demo", Command("all jobs on a small catalog, and a page to listen to", _add_arguments, _run))
