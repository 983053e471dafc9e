"""`python -m workflows.listening` is the same as `v2a listening`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["listening", *sys.argv[1:]]))
