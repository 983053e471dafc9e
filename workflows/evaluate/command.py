"""`v2a evaluate` on the command line."""

from __future__ import annotations

import argparse

from v2a_core.config import ConfigError
from workflows.command.arguments import add_job_arguments, add_run_arguments, asked_of_run, named_places
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.evaluate.config import EvaluateJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "evaluate")
    add_run_arguments(parser)
    parser.add_argument(
        "soundtracks", nargs="?", metavar="SOUNDTRACKS", help="folder or URI that `v2a generate` wrote; or use --system"
    )
    parser.add_argument("--embeddings", metavar="URI", help="references: what `v2a embed` wrote (default: the catalog)")
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=PLACE",
        help="a system to compare, the first one with all others: a folder of sound files by id, an index of them "
        "(a table with id and path), or what `v2a generate` wrote; may be repeated",
    )
    parser.add_argument(
        "--references",
        metavar="PLACE",
        help="with --system: the real sounds by id, likewise, or videos that have sound",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="with --system: released samples in every way of hearing, beside the numbers that were published of "
        "systems called v2a-mapper and frieren; it names the way that gives them",
    )


def _run(arguments: argparse.Namespace) -> int:
    systems = named_places(arguments.system)
    if bool(systems) == bool(arguments.soundtracks):
        raise ConfigError("give either SOUNDTRACKS, or a --system NAME=PLACE for each system that is compared")
    if arguments.references and not systems:
        raise ConfigError("--references goes with --system; soundtracks are compared with their originals")
    if arguments.calibrate and not arguments.references:
        raise ConfigError("--calibrate needs --system NAME=PLACE and --references PLACE")
    settings = load_settings(arguments, "evaluate", EvaluateJob)
    asked, embeddings = asked_of_run(arguments), arguments.embeddings
    if arguments.calibrate:
        from workflows.evaluate import calibrate

        calibrate.run(systems, arguments.references, arguments.output, settings, embeddings=embeddings, **asked)
        return DONE
    if systems:
        from workflows.evaluate import systems as several

        several.run(systems, arguments.references, arguments.output, settings, embeddings=embeddings, **asked)
        return DONE
    from workflows.evaluate import job

    job.run(arguments.soundtracks, arguments.output, settings, embeddings=embeddings, **asked)
    return DONE


COMMANDS.add("evaluate", Command("soundtracks and references -> metrics", _add_arguments, _run), EvaluateJob)
