"""`v2a verify`: whether an output is whole, from the command line."""

from __future__ import annotations

import argparse

from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE, FAILED
from workflows.command.storage import add_storage_option, reached_storage


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="URI", help="folder or URI that any job of `v2a` wrote")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="take out what is damaged (into damaged/), so that the job makes it anew; not while it runs",
    )
    add_storage_option(parser)


def _run(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.verification import repair, verify

        report = verify(arguments.output)
        for line in report.lines():
            print(line, flush=True)
        if not (arguments.repair and report.damaged):
            return FAILED if report.problems else DONE
        for line in repair(report):
            print(f"repair: {line}", flush=True)
        rows = f" (at most {report.to_make} rows)" if report.to_make else ""
        print(f"repair: run {report.again}: it makes anew what was taken out{rows}", flush=True)
        return DONE


COMMANDS.add(
    "verify", Command("is an output whole and undamaged? exit code 1 with a list when not", _add_arguments, _run)
)
