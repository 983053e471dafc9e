"""`v2a interpolate` on the command line."""

from __future__ import annotations

import argparse

from v2a_core.interpolation.config import InterpolationSettings
from workflows.command.arguments import add_job_arguments
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings

_MEANING = "sounds on the way between two things, and a page to hear them in a row"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "interpolate")
    parser.add_argument("ends", nargs=2, metavar="END", help="image, video, audio file, or a text")
    parser.add_argument("--mapper", metavar="URI", help="for an image or a video: what `v2a train` wrote, or none")


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "interpolate", InterpolationSettings)
    from workflows.interpolate import job

    first, second = arguments.ends
    job.run(first, second, arguments.output, settings, mapper=arguments.mapper, models=arguments.models)
    return DONE


COMMANDS.add("interpolate", Command(_MEANING, _add_arguments, _run), InterpolationSettings)
