"""What tests of bandits share: all of them, found by their yamls."""

from __future__ import annotations

from recsys_cli.algos.bandits.config import BanditConfig
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))
NAMES = sorted(path.stem for path in (conf_dir() / "algo").glob("*.yaml"))
BANDITS = [name for name in NAMES if isinstance(load("algo", name), BanditConfig)]
