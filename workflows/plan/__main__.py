"""`python -m workflows.plan` is the same as `v2a plan`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["plan", *sys.argv[1:]]))
