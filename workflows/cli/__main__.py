"""`python -m workflows.cli` is the same as `v2a`."""

from workflows.cli.main import main

raise SystemExit(main())
