"""`python -m recsys_cli.cli` does what `recsys` does."""

from recsys_cli.cli import entry

entry()
