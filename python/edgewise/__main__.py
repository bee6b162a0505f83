"""`python -m edgewise` is the `edgewise` command."""

from edgewise.cli import main

raise SystemExit(main())
