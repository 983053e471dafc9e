"""`v2a train-timing` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_beside, add_job_arguments, add_run_arguments, asked_of_run
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.train_timing.config import TimingJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "train-timing", models=None)
    add_run_arguments(parser)
    parser.add_argument(
        "embeddings", metavar="EMBEDDINGS", help="folder or URI that `v2a embed --set frames.timing_fps=10` wrote"
    )
    add_beside(parser)


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "train-timing", TimingJob)
    from workflows.train_timing import job
    from workflows.training.plan import show

    summary = job.run(
        arguments.embeddings, arguments.output, settings, beside=arguments.beside, **asked_of_run(arguments)
    )
    if arguments.dry_run:
        show(summary)
    return DONE


COMMANDS.add("train-timing", Command("embeddings -> a predictor of when things sound", _add_arguments, _run), TimingJob)
