"""`v2a listening` on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

from workflows.command.arguments import named_places
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE
from workflows.command.options import LateParser, add_config, load_settings, settings_table
from workflows.listening.config import ListeningSettings

Actions: TypeAlias = "argparse._SubParsersAction[LateParser]"

_DESCRIPTION = (
    "A blind listening test of several systems: a page that people open without a server, and what their answers say."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION", parser_class=LateParser)
    _add_make(actions)
    _add_score(actions)


def _add_make(actions: Actions) -> None:
    make = _action(actions, "make", "a page on which people rate several systems, blind, and the key to it", _make)
    make.add_argument(
        "--system",
        action="append",
        required=True,
        metavar="NAME=PLACE",
        help="a system, ours first: a folder of sound files by id, an index of them (a table with id and path), or "
        "what `v2a generate` wrote; may be repeated",
    )
    make.add_argument(
        "--videos",
        metavar="CATALOG",
        help="the videos or pictures by id (default: the sources of the first system that `v2a generate` made)",
    )
    make.add_argument("--output", required=True, metavar="URI", help="folder or URI of the page, as yet empty")
    make.add_argument("--key", metavar="FILE", help="where the key goes, outside of that (default: OUTPUT.key.json)")
    make.add_argument("--consent", metavar="FILE", help="a text that people agree to, paragraphs apart by empty lines")
    make.add_argument("--webmushra", metavar="URI", help="folder or URI for the same test as webMUSHRA has it")


def _add_score(actions: Actions) -> None:
    score = _action(actions, "score", "tables and plots of what people answered", _score)
    score.add_argument(
        "results", nargs="+", metavar="RESULTS", help="files that the page saved, webMUSHRA's lms.csv, folders of them"
    )
    score.add_argument("--key", required=True, metavar="FILE", help="the key that `make` wrote")
    score.add_argument("--output", required=True, metavar="URI", help="folder or URI of tables, numbers and plots")


def _action(
    actions: Actions, name: str, meaning: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """A subcommand whose help has the settings of the command."""
    added = actions.add_parser(
        name, help=meaning, description=meaning, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(added, "listening")
    added.fill = _add_settings
    added.set_defaults(action=run)
    return added


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"settings (--set key=value, or YAML for --config):\n{settings_table(ListeningSettings)}"


def _run(arguments: argparse.Namespace) -> int:
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


def _make(arguments: argparse.Namespace) -> int:
    systems = named_places(arguments.system)
    settings = load_settings(arguments, "listening", ListeningSettings)
    from v2a_core.listening.making.make import Wanted
    from workflows.listening import job

    key = arguments.key or f"{arguments.output.rstrip('/')}.key.json"
    wanted = Wanted(systems, arguments.output, key, videos=arguments.videos, webmushra=arguments.webmushra)
    job.make(wanted, settings, arguments.consent)
    return DONE


def _score(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "listening", ListeningSettings)
    from workflows.listening import job

    job.score(arguments.results, arguments.key, arguments.output, settings)
    return DONE


COMMANDS.add(
    "listening",
    Command("a blind listening test: make its page, score its answers", _add_arguments, _run, _DESCRIPTION),
    ListeningSettings,
)
