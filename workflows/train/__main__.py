"""`python -m workflows.train` is the same as `v2a train`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["train", *sys.argv[1:]]))
