"""`python -m workflows.generate` is the same as `v2a generate`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["generate", *sys.argv[1:]]))
