"""`v2a brightness` on the command line. It imports the job, and with it Ray, only when it runs."""

from __future__ import annotations

import argparse

from toy_brightness.config import BrightnessSettings
from workflows.command.arguments import add_catalog, add_job_arguments, add_run_arguments, asked_of_catalog
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "brightness")
    add_run_arguments(parser)
    add_catalog(parser)


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "brightness", BrightnessSettings)
    from toy_brightness.job import run

    run(arguments.catalog, arguments.output, settings, **asked_of_catalog(arguments))
    return DONE


COMMANDS.add("brightness", Command("how bright each segment of a catalog is", _add_arguments, _run), BrightnessSettings)
