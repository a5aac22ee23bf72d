"""What tests of bandits share: all of them, found by their yamls."""

from __future__ import annotations

from recsys_cli.algos.bandits.config import BanditConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load

# Groups of users are such problems side by side: every algorithm learns them in `test_group_training`.
PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
NAMES = sorted(path.stem for path in (conf_dir() / "algo").glob("[!_]*.yaml"))
BANDITS = [name for name in NAMES if isinstance(load("algo", name), BanditConfig)]


def fits(name: str, problem: str) -> bool:
    """Whether a bandit, as it is by default, takes the problem."""
    try:
        load("algo", name).check(load("env", problem).spec)
    except ConfigError:
        return False
    return True


def one_each(pairs: list[tuple[str, str]], *all_of: str) -> list[tuple[str, str]]:
    """Of each algorithm one of its pairs with a problem, in turn, and every pair of some algorithms."""
    own: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        own.setdefault(pair[0], []).append(pair)
    chosen = (of if name in all_of else [of[i % len(of)]] for i, (name, of) in enumerate(own.items()))
    return [pair for of in chosen for pair in of]


PAIRS = [(name, problem) for name in BANDITS for problem in PROBLEMS if fits(name, problem)]
