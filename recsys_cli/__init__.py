"""recsys-cli: reinforcement learning for recommender systems in one command line."""

import sys

__version__ = "0.1.0"

# gymnasium 1 no longer reads the `gymnasium.envs` entry points. Not imported here for its own sake: that would cost
# `recsys --help` its speed.
if "gymnasium" in sys.modules:
    import recsys_cli.envs  # noqa: F401 - registers the problems
