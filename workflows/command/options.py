"""Options that a typed configuration gives a command: `--config`, `--set`, short flags, and the table of its help."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from v2a_core.config import Settings, load, options

SettingsT = TypeVar("SettingsT", bound=Settings)


class LateParser(argparse.ArgumentParser):
    """A command's parser that is filled when the command is chosen: reading all settings of all loads what they need.

    Attributes:
        fill: Adds the options.
    """

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, with the options."""
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(args, namespace)


def add_config(parser: argparse.ArgumentParser, name: str) -> None:
    """Add `--config` and `--set` to the command `name`."""
    parser.add_argument("--config", metavar="FILE", help=f"YAML file, or the name of one in configs/{name}/")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="one setting, dotted; may be repeated",
    )


def add_flags(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """Add the options that are short for a setting."""
    added: set[str] = set()  # the settings of several choices may share one
    for option in options(settings):
        if option.flag and option.flag not in added:
            added.add(option.flag)
            parser.add_argument(
                option.flag,
                dest=f"flag:{option.key}",
                metavar="VALUE",
                # Text is taken as it is: "a dog: two barks", "no" and "1984" mean something else in YAML.
                type=json.dumps if option.type == "str" else str,
                help=f"{option.meaning} (--set {option.key}; default: {option.default_text})".replace("%", "%%"),
            )


def settings_table(settings: type[Settings]) -> str:
    """Every setting with its default, unit, meaning and type, for the end of a help text."""
    lines = []
    for option in options(settings):
        lines.append(f"  {option.key} = {option.default_text}\n      {option.meaning} [{option.type}]")
    return "\n".join(lines)


def load_settings(arguments: argparse.Namespace, job: str, settings: type[SettingsT]) -> SettingsT:
    """The configuration that the options of a command say."""
    return load(settings, job=job, source=arguments.config, overrides=overrides(arguments))


def overrides(arguments: argparse.Namespace) -> list[str]:
    """The `key=value` settings of `--set` and of the short options."""
    flags = {key.partition(":")[2]: value for key, value in vars(arguments).items() if key.startswith("flag:")}
    return [*arguments.overrides, *(f"{key}={value}" for key, value in flags.items() if value is not None)]
