"""`python -m workflows.train_timing` is the same as `v2a train-timing`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["train-timing", *sys.argv[1:]]))
