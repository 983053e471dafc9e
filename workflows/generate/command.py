"""`v2a generate` on the command line."""

from __future__ import annotations

import argparse

from workflows.command.arguments import add_beside, add_catalog, add_job_arguments, add_run_arguments, asked_of_catalog
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import load_settings
from workflows.generate.config import GenerateJob


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser, "generate")
    add_run_arguments(parser)
    add_catalog(parser)
    parser.add_argument(
        "--mapper", metavar="URI", help="folder or URI that `v2a train` wrote; none: CLIP straight into the generator"
    )
    parser.add_argument(
        "--embeddings", metavar="URI", help="what `v2a embed` wrote for the catalog: what is there is not decoded again"
    )
    add_beside(parser)
    parser.add_argument(
        "--curve",
        metavar="FILE",
        help="what the loudness follows: a CSV with time_s, level (0 to 1) and maybe onset, or a sound; file or URI",
    )
    parser.add_argument(
        "--reference-audio", metavar="FILE", help="a sound whose loudness and onsets are followed; file or URI"
    )
    parser.add_argument(
        "--no-timing",
        action="store_const",
        const='"off"',
        dest="flag:timing",
        help="predict nothing from the pictures, whatever the configuration says: the same as --timing off",
    )
    parser.add_argument(
        "--adapter", metavar="FOLDER", help="what makes the generator follow a curve (default: the bundle's own)"
    )


def _run(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "generate", GenerateJob)
    from v2a_core.stages.follow import ToFollow
    from workflows.generate import job

    job.run(
        arguments.catalog,
        arguments.output,
        settings,
        mapper=arguments.mapper,
        embeddings=arguments.embeddings,
        beside=arguments.beside,
        to_follow=ToFollow(arguments.curve, arguments.reference_audio, arguments.adapter),
        **asked_of_catalog(arguments),
    )
    return DONE


COMMANDS.add("generate", Command("a catalog and a mapper -> soundtracks", _add_arguments, _run), GenerateJob)
