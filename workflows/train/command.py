"""`v2a train` on the command line."""

from __future__ import annotations

import argparse

from v2a_core.config import ConfigError
from workflows.command.arguments import add_beside, add_job_arguments, add_run_arguments
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings, overrides
from workflows.train.config import TrainJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "train", models=None)
    add_run_arguments(parser)
    parser.add_argument("embeddings", metavar="EMBEDDINGS", help="folder or URI that `v2a embed` wrote")
    add_beside(parser)
    parser.add_argument(
        "--sweep", metavar="FILE", help="train the configurations of a YAML file, or of one in configs/sweep/ by name"
    )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.sweep:
        return _sweep(arguments)
    settings = load_settings(arguments, "train", TrainJob)
    from workflows.train import job
    from workflows.training.plan import show

    summary = job.run(
        arguments.embeddings,
        arguments.output,
        settings,
        beside=arguments.beside,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
        steal=arguments.steal,
    )
    if arguments.dry_run:
        show(summary)
    return DONE


def _sweep(arguments: argparse.Namespace) -> int:
    if arguments.config:
        raise ConfigError("--sweep and --config: write the settings of all runs into the sweep's file, under `base`")
    from workflows.train.sweep import load_sweep, run_sweep

    run_sweep(
        arguments.embeddings,
        arguments.output,
        load_sweep(arguments.sweep, overrides(arguments)),
        beside=arguments.beside,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
        steal=arguments.steal,
    )
    return DONE


COMMANDS.add("train", Command("embeddings -> a mapper", _add_arguments, _run), TrainJob)
