"""Learned simulators beside the true ones: the order of policies, and what is learned in them.

    uv run python -m experiments.learned_simulator.run

For every problem, size of log and seed: users of the true simulator see random slates and are recorded, a simulator is
fitted to the log, five fixed policies are played in both, and algorithms are trained in both and played in the true
one. Run again, it continues where it stopped. Writes `policies.csv` and `training.csv` (one row a policy and log),
`results.md` and `results.svg` beside this file; logs, simulators and runs go to `--folder`.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments.algorithms.run import PROBLEMS
from experiments.learned_simulator.results import write
from recsys_cli.cli import main as recsys
from recsys_cli.config import folders
from recsys_cli.config.compose import compose
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.interest_evolution import quality_means
from recsys_cli.policies.base import GreedyPolicy, Observation, SlatePolicy
from recsys_cli.rollouts.episodes import play
from recsys_cli.runs.inline import without_ray
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
USERS, EVALUATION_SEED = 2_000, 1_000_000
QUIET = ("resources=inline", "tracking=off", "evaluation.every=0", "evaluation.users=1", "evaluation.baselines=[]")
Scores = Callable[[Observation], np.ndarray]


class ByScore(GreedyPolicy):
    """Shows the documents of the highest scores."""

    def __init__(self, slate_size: int, scores: Scores) -> None:
        """Take a function of the observation that returns scores `[N, C]`."""
        self.slate_size, self.scored = slate_size, scores

    def slates(self, observation: Observation) -> np.ndarray:
        """See `GreedyPolicy.slates`."""
        return np.argsort(-self.scored(observation), axis=1, kind="stable")[:, : self.slate_size]


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        env: the words that say it.
        sizes: sessions of the logs.
        seeds: logs of each size.
        fixed: policies by rule, with the scores of documents that they show the highest of.
        trained: policies that were trained in the true simulator, with their words.
        learners: algorithms that are trained in both, with their words.
        choices: how the choice is fitted.
    """

    env: tuple[str, ...]
    sizes: tuple[int, ...]
    fixed: Mapping[str, Callable[[Any], Scores]]
    trained: Mapping[str, tuple[str, ...]]
    learners: Mapping[str, tuple[str, ...]]
    seeds: int = 3
    choices: tuple[str, ...] = ("auto",)
    baselines: tuple[str, ...] = field(default=("random", "myopic"))


def _topic_quality(config: Any) -> Scores:
    means = quality_means(config)
    return lambda observation: means[np.asarray(observation["doc"]).astype(int)]


def _feature(number: int, sign: float = 1.0) -> Callable[[Any], Scores]:
    return lambda config: lambda observation: sign * observation["doc"][..., number]


CHOICES = ("auto", "learned")  # how the choice is fitted, in this order
MEMORY, DOCUMENTS = "algo.memory=raw", "algo.memory=documents"
CASES = {
    "evolution": Problem(
        env=PROBLEMS["evolution"],
        sizes=(140, 700),
        fixed={"best quality": _topic_quality},
        trained={
            "slateq, half-trained": ("algo=slateq", "steps=80000"),
            "slateq": ("algo=slateq", MEMORY, "steps=200000"),
        },
        learners={"lspi": ("algo=lspi", "steps=20000"), "slateq": ("algo=slateq", MEMORY, "steps=200000")},
    ),
    "satisfaction-0.2": Problem(
        env=PROBLEMS["satisfaction-0.2"],
        sizes=(200,),
        fixed={
            "most clickbait": _feature(0),
            "a quarter clickbait": lambda config: lambda observation: -np.abs(observation["doc"][..., 0] - 0.25),
            "least clickbait": _feature(0, -1.0),
        },
        trained={"slateq, half-trained": ("algo=slateq", MEMORY, "steps=100000")},
        learners={"lspi": ("algo=lspi", "steps=20000")},
        baselines=("random",),
    ),
    "exploration-heavy": Problem(
        env=PROBLEMS["exploration-heavy"],
        sizes=(500,),
        fixed={"best quality": _feature(-1), "worst quality": _feature(-1, -1.0)},
        trained={
            "kl_ucb per user": ("algo=kl_ucb", "algo.statistics=per_user", "steps=30000"),
            "linucb": ("algo=linucb", DOCUMENTS, "steps=30000"),
        },
        learners={"linucb": ("algo=linucb", DOCUMENTS, "steps=30000")},
        baselines=("random",),
    ),
}


@dataclass(frozen=True)
class Log:
    """One log and the simulator fitted to it."""

    problem: str
    sessions: int
    seed: int
    choice: str

    @property
    def data(self) -> str:
        """Name of the data set."""
        return f"{self.problem.replace('-', '_').replace('.', '_')}_{self.sessions}_{self.seed}"

    @property
    def name(self) -> str:
        """Name of the simulator."""
        return f"{self.data}_{self.choice}"


def logs() -> Iterator[Log]:
    """Yield all logs, the small ones first."""
    for problem, case in CASES.items():
        for sessions in case.sizes:
            for choice in case.choices:
                yield from (Log(problem, sessions, seed, choice) for seed in range(case.seeds))


def learners() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield problem, algorithm and words of all that is trained, the quickest first."""
    everything = [(problem, algo, words) for problem, case in CASES.items() for algo, words in case.learners.items()]
    yield from sorted(everything, key=lambda one: one[1] == "slateq")


def run(*words: str) -> None:
    """Run a command and stop if it fails."""
    if recsys([*words, "progress=off"] if words[0] in ("train", "record") else list(words)) != 0:
        raise SystemExit(f"failed: recsys {' '.join(words)}")


def trained(name: str, *words: str) -> SlatePolicy:
    """Return a policy, trained unless it was before."""
    if not Path("runs", name).exists():
        run("train", f"name={name}", *words, *QUIET)
    return load_checkpoint(resolve(f"{name}/last", Path("runs"), None)).policy


def policies(problem: str, env: EnvConfig) -> dict[str, SlatePolicy]:
    """Return the fixed policies: made for the true problem, with fitted baselines and trained ones."""
    from recsys_cli.algos.baselines import fitted_baseline

    case = CASES[problem]
    found: dict[str, SlatePolicy] = {name: fitted_baseline(name, env, 0) for name in case.baselines}
    found |= {name: ByScore(env.slate_size, scores(env)) for name, scores in case.fixed.items()}
    for name, words in case.trained.items():
        found[name] = trained(f"{problem}-{name.replace(', ', '-').replace(' ', '-')}", *case.env, *words)
    return found


def simulator(log: Log) -> EnvConfig:
    """Return the simulator of a log, recorded and fitted unless it was before."""
    case = CASES[log.problem]
    if not Path(f"data/{log.data}/dataset.yaml").is_file():
        record = (f"name={log.data}", f"episodes={log.sessions}", f"seed={log.seed}", "tracking=off")
        run("record", *case.env, *record)
    if not Path(f"simulators/env/{log.name}.yaml").is_file():
        began = time.process_time()
        run("fit-simulator", f"data={log.data}", f"name={log.name}", f"choice={log.choice}")
        Path(f"simulators/{log.name}.seconds").write_text(f"{time.process_time() - began:.1f}")
    with folders.using(["simulators"]):
        env: EnvConfig = load("env", log.name)
        assert env.spec  # its file is read while the folder is in use
    return env


def mean_return(policy: SlatePolicy, env: EnvConfig) -> dict[str, str]:
    """Return the mean return of fresh users and its standard error, as text."""
    returns = play(policy, env, USERS, EVALUATION_SEED).returns
    return {"value": f"{returns.mean():.2f}", "error": f"{returns.std() / len(returns) ** 0.5:.2f}"}


class Table:
    """A CSV file of rows; those it has are not computed again."""

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        """Read the file."""
        self.path, self.keys = path, keys
        self.rows = list(csv.DictReader(path.open())) if path.is_file() else []

    def has(self, **values: Any) -> bool:
        """Whether there is such a row."""
        return any(all(row[key] == str(values[key]) for key in values) for row in self.rows)

    def add(self, **values: Any) -> None:
        """Append a row."""
        self.rows.append({key: str(value) for key, value in values.items()})
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class Results:
    """What was measured: returns of the fixed policies, and of what was learned."""

    def __init__(self) -> None:
        """Read what is there."""
        keys = ("problem", "sessions", "choice", "seed")
        self.played = Table(HERE / "policies.csv", (*keys, "policy"))
        self.learned = Table(HERE / "training.csv", (*keys, "algo"))
        self.truth = {name: compose("train", list(case.env)).env for name, case in CASES.items()}

    def tasks(self) -> Iterator[Callable[[], None]]:
        """Yield what is missing, in pieces of seconds to a minute."""
        for problem in CASES:
            yield partial(self.play, {"problem": problem, "sessions": 0, "choice": "true", "seed": 0})
        for choice, rank in product(CHOICES, range(2)):
            fitted = [
                log for log in logs() if (log.choice, CASES[log.problem].sizes.index(log.sessions)) == (choice, rank)
            ]
            yield from (partial(self.play, dict(vars(log)), log) for log in fitted)
            for problem, algo, words in learners():
                for seed in range(CASES[problem].seeds):
                    key = {"problem": problem, "sessions": 0, "choice": "true", "seed": seed, "algo": algo}
                    yield partial(self.train, key, f"{problem}-true-{algo}-{seed}", (*CASES[problem].env, *words))
                for log in (log for log in fitted if log.problem == problem):
                    inside = ("--config-dir", "simulators", f"env={log.name}", *words)
                    yield partial(self.train, {**vars(log), "algo": algo}, f"{log.name}-{algo}", inside, log)

    def play(self, key: dict[str, Any], log: Log | None = None) -> None:
        """Play the fixed policies that are missing, in the true simulator or in that of a log."""
        names = (*CASES[key["problem"]].baselines, *CASES[key["problem"]].fixed, *CASES[key["problem"]].trained)
        missing = [name for name in names if not self.played.has(**key, policy=name)]
        if not missing:
            return
        users = self.truth[key["problem"]] if log is None else simulator(log)
        ours = policies(key["problem"], self.truth[key["problem"]])
        for name in missing:
            self.played.add(**key, policy=name, **mean_return(ours[name], users))

    def train(self, key: dict[str, Any], name: str, words: tuple[str, ...], log: Log | None = None) -> None:
        """Train, in the true simulator or in that of a log, and play in the true one, unless it is there."""
        if self.learned.has(**key):
            return
        if log is not None:
            simulator(log)
        policy = trained(name, *words, f"seed={key['seed']}")
        self.learned.add(**key, **mean_return(policy, self.truth[key["problem"]]))


def work(until: float) -> bool:
    """Compute what is missing; return whether all is there."""
    for task in Results().tasks():
        if time.monotonic() > until:
            return False
        task()
    return True


def main() -> None:
    """Compute what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/learned_simulator"), help="for logs, simulators and runs"
    )
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many, to go on later")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with chdir(options.folder), without_ray():
        done = work(time.monotonic() + 60 * options.minutes)
    write(HERE)
    print("all is there" if done else "stopped; the same command goes on")


if __name__ == "__main__":
    main()
