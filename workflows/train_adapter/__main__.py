"""`python -m workflows.train_adapter` is the same as `v2a train-adapter`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["train-adapter", *sys.argv[1:]]))
