"""The command line: one command, a subcommand a job, options generated from the typed configurations."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import traceback
from collections.abc import Callable, Sequence

from v2a_core.config import ConfigError, Settings
from v2a_core.storage.public import public_text
from workflows.cli.version import VersionAction
from workflows.cluster_runtime import address as cluster_address
from workflows.cluster_runtime.signals import interrupt_on_sigterm
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import BAD_CONFIGURATION, FAILED, MEANINGS, TOO_MANY_REJECTS, TRAINING_STOPPED
from workflows.command.options import LateParser, add_flags, settings_table
from workflows.training.config import TrainingStoppedError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    interrupt_on_sigterm()
    try:
        if "address" in arguments:  # before models load: that takes longer
            cluster_address.check(arguments.address)
        return command(arguments)
    except ConfigError as error:
        print(f"v2a: {public_text(str(error))}", file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        print("v2a: stopped; what was written is kept, the same command goes on from there", file=sys.stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001 (the last stop of every job: a message, not a page of frames)
        return _failed(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, from the table of commands."""
    parser = argparse.ArgumentParser(prog="v2a", description="Soundtracks for silent video, in bulk.", epilog=MEANINGS)
    parser.add_argument("--version", action=VersionAction, nargs=0, help="print version and commit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LateParser)
    for name in COMMANDS.names():
        command, settings = _find(name)
        if settings is None:
            late = commands.add_parser(name, help=command.meaning, description=command.description)
        else:
            late = commands.add_parser(
                name,
                help=command.meaning,
                description=command.description or f"{command.meaning[0].upper()}{command.meaning[1:]}.",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            late.fill = functools.partial(_add_settings, settings=settings)
        command.add_arguments(late)
        late.set_defaults(command=command.run)
    return parser


def _find(name: str) -> tuple[Command, type[Settings] | None]:
    """A command and its settings; of another package's that cannot be imported, one that says so."""
    try:
        entry = COMMANDS[name]
    except ConfigError as error:
        problem = error

        def fail(arguments: argparse.Namespace) -> int:
            raise problem

        return Command(f"cannot be used: {error}".replace("%", "%%"), lambda parser: None, fail), None
    return entry.component, entry.settings


def _add_settings(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    add_flags(parser, settings)
    parser.epilog = f"settings (--set key=value, or YAML for --config):\n{settings_table(settings)}\n\n{MEANINGS}"


def _failed(error: Exception) -> int:
    from v2a_core.models.finite import DamagedWeightsError
    from v2a_core.outputs.lease import LeaseLostError
    from v2a_core.outputs.unfinished import UnfinishedError
    from v2a_core.storage.trouble import StorageStopError
    from workflows.streaming.summary import TooManyRejectsError

    if isinstance(error, TooManyRejectsError):
        print(f"v2a: {error}", file=sys.stderr)
        return TOO_MANY_REJECTS
    if isinstance(error, (UnfinishedError, StorageStopError, DamagedWeightsError, LeaseLostError)):
        print(f"v2a: {error}", file=sys.stderr)
        return FAILED
    if isinstance(error, TrainingStoppedError):
        print(f"v2a: training stopped: {error}", file=sys.stderr)
        return TRAINING_STOPPED
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        traceback.print_exc()
    print(f"v2a: failed: {public_text(f'{type(error).__name__}: {error}')}", file=sys.stderr)
    return FAILED
