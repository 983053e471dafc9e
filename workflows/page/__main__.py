"""`python -m workflows.page` is the same as `v2a page`."""

import sys

from workflows.cli.main import main

raise SystemExit(main(["page", *sys.argv[1:]]))
