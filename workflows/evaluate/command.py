"""`v2a evaluate` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_job_arguments, add_run_arguments, asked_of_run
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.evaluate.config import EvaluateJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "evaluate")
    add_run_arguments(parser)
    parser.add_argument("soundtracks", metavar="SOUNDTRACKS", help="folder or URI that `v2a generate` wrote")
    parser.add_argument("--embeddings", metavar="URI", help="references: what `v2a embed` wrote (default: the catalog)")


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "evaluate", EvaluateJob)
    from workflows.evaluate import job

    embeddings = arguments.embeddings
    job.run(arguments.soundtracks, arguments.output, settings, embeddings=embeddings, **asked_of_run(arguments))
    return DONE


COMMANDS.add("evaluate", Command("soundtracks and references -> metrics", _add_arguments, _run), EvaluateJob)
