"""`python -m recsys_cli.cli` does what `recsys` does."""

import sys

from recsys_cli.cli import main

sys.exit(main())
