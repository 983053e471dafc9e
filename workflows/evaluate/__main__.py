"""`python -m workflows.evaluate` is the same as `v2a evaluate`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["evaluate", *sys.argv[1:]]))
