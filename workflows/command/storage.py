"""`--set storage.…` for commands that have no other settings."""

from __future__ import annotations

import argparse

from v2a_core.config import build
from v2a_core.storage.config import StorageJob


def add_storage_option(parser: argparse.ArgumentParser) -> None:
    """The option; `use_storage` applies it."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="storage.KEY=VALUE",
        dest="storage_overrides",
        help="how files are reached, as in the jobs, such as storage.endpoint=https://s3.example.org; may be repeated",
    )


def use_storage(arguments: argparse.Namespace) -> None:
    """Reach files as the options say.

    Raises:
        ConfigError: For a setting that does not exist, or a wrong value.
    """
    from v2a_core import storage  # imports fsspec: not for --help

    storage.use(storage.StorageAccess(build(StorageJob, {}, arguments.storage_overrides).storage))
