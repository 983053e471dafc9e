"""`python -m workflows.embed` is the same as `v2a embed`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["embed", *sys.argv[1:]]))
