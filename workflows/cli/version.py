"""`v2a --version`: the version and the commit that the code is from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from v2a_core.version import program


class VersionAction(argparse.Action):
    """Print name, version and commit, and end. The commit is asked for only then: that starts a process."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """What argparse calls when the option is given."""
        told = program()
        print(f"{told['name']} {told['version']} ({told['commit']})")
        parser.exit()
