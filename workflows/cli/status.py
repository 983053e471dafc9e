"""`v2a status`: how an output is doing, from the command line; from its files alone, wherever the run is."""

from __future__ import annotations

import argparse
import json

from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.storage import add_storage_option, reached_storage


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="URI", help="folder or URI that a job of `v2a` writes or wrote")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_storage_option(parser)


def _run(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.outputs.status import read_status

        status = read_status(arguments.output)
    print(json.dumps(status.to_dict(), indent=2) if arguments.json else "\n".join(status.lines()), flush=True)
    return DONE


COMMANDS.add(
    "status",
    Command("is a run at work on an output, how far is it, and when was the last commit?", _add_arguments, _run),
)
