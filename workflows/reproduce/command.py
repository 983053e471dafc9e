"""`v2a reproduce` on the command line."""

from __future__ import annotations

import argparse

from v2a_core.reproduction.paper import FIGURES, TABLES
from v2a_core.reproduction.selection import select
from workflows.command.arguments import add_address, add_models, named_places
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import add_config, load_settings
from workflows.reproduce.config import ReproduceJob

_DESCRIPTION = (
    "The tables and figures of the paper by one command: mappers are trained, sounds made and scored, and the paper's "
    "numbers stand beside ours, with what became of its orders. Without a catalog on the miniature world, offline."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        default="reproduction",
        metavar="DIR",
        help="local folder; finished work in it is kept (default: %(default)s)",
    )
    listed = ",".join(map(str, TABLES)), ",".join(map(str, FIGURES))
    parser.add_argument(
        "--tables", default=listed[0], metavar="N,N", help="which tables, or none (default: %(default)s)"
    )
    parser.add_argument(
        "--figures", metavar="N,N", help=f"which figures, or none (default: {listed[1]}; none with --only)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="numbers of this row alone; may be repeated"
    )
    _add_data(parser)
    add_config(parser, "reproduce")
    add_models(parser, "miniature")
    parser.add_argument("--dry-run", action="store_true", help="check and show the steps, do nothing")
    parser.add_argument(
        "--steal",
        action="store_true",
        help="take the output over from the run that owns it, which ends; for one that hangs",
    )
    add_address(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    """Where clips, sounds of others and answers are."""
    parser.add_argument(
        "--catalog",
        action="append",
        default=[],
        metavar="CATALOG",
        help="what mappers learn from, its validation split included; may be repeated (default: the miniature world)",
    )
    parser.add_argument(
        "--test", action="append", default=[], metavar="CATALOG", help="videos that get sounds; may be repeated"
    )
    parser.add_argument(
        "--pictures",
        action="append",
        default=[],
        metavar="CATALOG",
        help="still pictures that get sounds, such as ImageHear; may be repeated",
    )
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=PLACE",
        help="sounds of im2wav or clipsonic-iq for the test videos, as for evaluate; may be repeated",
    )
    parser.add_argument(
        "--answers", action="append", default=[], metavar="PLACE", help="what listeners sent back, for figure 5"
    )


def _run(arguments: argparse.Namespace) -> int:
    figures = arguments.figures
    if figures is None:
        figures = "none" if arguments.only else ",".join(map(str, FIGURES))
    selection = select(arguments.tables, figures, arguments.only)
    external = named_places(arguments.system)
    settings = load_settings(arguments, "reproduce", ReproduceJob)
    from workflows.reproduce.asked import Reproduce
    from workflows.reproduce.job import run

    asked = Reproduce(
        arguments.output,
        selection,
        settings,
        models=arguments.models,
        catalog=arguments.catalog,
        test=arguments.test,
        pictures=arguments.pictures,
        external=external,
        answers=arguments.answers,
        address=arguments.address,
        steal=arguments.steal,
    )
    run(asked, dry_run=arguments.dry_run)
    return DONE


COMMANDS.add(
    "reproduce",
    Command("the tables and figures of the paper, from a catalog to a page", _add_arguments, _run, _DESCRIPTION),
    ReproduceJob,
)
