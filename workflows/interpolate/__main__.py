"""`python -m workflows.interpolate` is the same as `v2a interpolate`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["interpolate", *sys.argv[1:]]))
