"""`python -m workflows.reproduce` is the same as `v2a reproduce`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["reproduce", *sys.argv[1:]]))
