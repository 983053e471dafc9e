"""`v2a train-adapter` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_catalog, add_job_arguments, add_run_arguments, asked_of_catalog
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.train_adapter.config import AdapterJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "train-adapter")
    add_run_arguments(parser)
    add_catalog(parser, heard=True)


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "train-adapter", AdapterJob)
    from workflows.train_adapter import job
    from workflows.training.plan import show

    summary = job.run(arguments.catalog, arguments.output, settings, **asked_of_catalog(arguments))
    if arguments.dry_run:
        show(summary)
    return DONE


COMMANDS.add(
    "train-adapter", Command("sounds -> what makes a generator follow a curve", _add_arguments, _run), AdapterJob
)
