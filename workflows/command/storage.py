"""`--set storage.…` for commands that have no other settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from v2a_core.config import build
from v2a_core.storage.config import CopyJob, StorageJob

if TYPE_CHECKING:
    from v2a_core.storage import StorageAccess


def add_storage_option(parser: argparse.ArgumentParser) -> None:
    """The option; `reached_storage` applies it."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="storage.KEY=VALUE",
        dest="storage_overrides",
        help="how files are reached, as in the jobs, such as storage.endpoint=https://s3.example.org; may be repeated",
    )


@contextmanager
def reached_storage(arguments: argparse.Namespace, output: str | None = None) -> Iterator[None]:
    """Reach files as the options say, in the block.

    Args:
        arguments: With those of `add_storage_option`.
        output: Of a command that copies: its settings are `output_storage`, where that is given.

    Raises:
        ConfigError: For a setting that does not exist, or a wrong value.
    """
    from v2a_core import storage  # imports fsspec: not for --help

    with storage.reach(_access(arguments.storage_overrides, output)):
        yield


def _access(overrides: list[str], output: str | None) -> StorageAccess:
    from v2a_core.storage import StorageAccess

    if output is None:
        return StorageAccess(build(StorageJob, {}, overrides).storage)
    job = build(CopyJob, {}, overrides)
    return StorageAccess.of_job(job.storage, output, job.output_storage)
