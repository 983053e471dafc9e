"""Arguments that several commands have in common."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import TypedDict

from v2a_core.config import ConfigError
from workflows.command.options import add_config

_CATALOG = (
    "file, folder, glob, fsspec URI or prefix, tar shard(s) such as 'shard-{000..009}.tar', or table with a uri column"
)


def add_job_arguments(parser: argparse.ArgumentParser, name: str, *, models: str | None = "paper") -> None:
    """Add what every job has: where its output goes, its configuration, its models.

    Args:
        parser: Of the command.
        name: Of the command.
        models: The bundle that is used when none is given.
    """
    parser.add_argument(
        "--output", required=True, metavar="URI", help="folder or URI of the output; finished work in it is kept"
    )
    add_config(parser, name)
    add_models(parser, models)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every job on Ray has."""
    parser.add_argument("--limit", type=count, metavar="N", help="take the first N sources")
    parser.add_argument("--dry-run", action="store_true", help="list, plan and check, do nothing")
    parser.add_argument(
        "--steal",
        action="store_true",
        help="take the output over from the run that owns it, which ends; for one that hangs",
    )
    add_address(parser)


class Asked(TypedDict, total=False):
    """What is asked of a run of a streaming job, as keywords of its `run`.

    Attributes:
        models: A bundle's name or file.
        limit: Take the first `limit` entries only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        steal: Take the output over from the run that owns it.
    """

    models: str
    limit: int | None
    dry_run: bool
    address: str | None
    steal: bool


class AskedOfCatalog(Asked, total=False):
    """The same, where the job lists a catalog.

    Attributes:
        sample: Of a dry run: measure instead of printing, for `v2a plan`; says how many of so many sources.
        retry_rejects: Stages whose rejects are tried again.
    """

    sample: Callable[[int], int] | None
    retry_rejects: Sequence[str]


def asked_of_run(arguments: argparse.Namespace) -> Asked:
    """What `add_job_arguments` and `add_run_arguments` were given."""
    return {
        "models": arguments.models,
        "limit": arguments.limit,
        "dry_run": arguments.dry_run,
        "address": arguments.address,
        "steal": arguments.steal,
    }


def asked_of_catalog(arguments: argparse.Namespace) -> AskedOfCatalog:
    """The same, and what `add_catalog` was given."""
    return {**asked_of_run(arguments), "sample": None, "retry_rejects": arguments.retry_rejects}


def add_catalog(parser: argparse.ArgumentParser, *, heard: bool = False) -> None:
    """Add the catalog of a job, and which of its rejects are tried again.

    Args:
        parser: Of the command.
        heard: Whether it is one of sounds.
    """
    add_catalog_places(parser, heard=heard)
    parser.add_argument(
        "--retry-rejects",
        action="append",
        default=[],
        metavar="STAGE",
        help="try the rejects of a stage again, as `reject_stage` names it (decode, probe, mux, ...); may be repeated",
    )


def add_catalog_places(parser: argparse.ArgumentParser, *, heard: bool = False) -> None:
    """Add where a catalog is; `heard`: one of sounds."""
    metavar = "AUDIO" if heard else "CATALOG"
    parser.add_argument(
        "catalog", nargs="+", metavar=metavar, help=f"sounds, or videos with sound: {_CATALOG}" if heard else _CATALOG
    )


def add_beside(parser: argparse.ArgumentParser) -> None:
    """Add the sidecar of embeddings that are read."""
    parser.add_argument(
        "--beside",
        metavar="URI",
        help="what `v2a embed --beside` wrote for the embeddings: its columns are read in place of theirs",
    )


def add_models(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the choice of a model bundle."""
    parser.add_argument(
        "--models",
        default=default,
        metavar="NAME|FILE",
        help="model bundle: a name in configs/models/, a YAML file, or a fetched folder (default: %(default)s)",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a Ray cluster; whether it answers is checked before a command runs."""
    parser.add_argument(
        "--address", metavar="ADDRESS", help="a running Ray cluster (default: RAY_ADDRESS, else Ray on this machine)"
    )


def named_places(given: Sequence[str]) -> dict[str, str]:
    """What `--system NAME=PLACE` was given: places by names.

    Raises:
        ConfigError: For what is no NAME=PLACE, a name twice, and a name that is no name of a folder.
    """
    found: dict[str, str] = {}
    for text in given:
        name, sign, place = text.partition("=")
        if not sign or not place or not re.fullmatch(r"[\w][\w.+-]*", name):
            raise ConfigError(f"--system {text!r}: give NAME=PLACE, with a name of letters, digits, dots, + and -")
        if name in found:
            raise ConfigError(f"--system {name} is given twice: {found[name]!r} and {place!r}")
        found[name] = place
    return found


def count(text: str) -> int:
    """An option that counts things: a whole number, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value
