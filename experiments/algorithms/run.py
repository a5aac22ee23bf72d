"""One table, problem by algorithm: greedy return, and how soon 90 % of the own best was reached.

    uv run python -m experiments.algorithms.run

Trains what is missing, five seeds per line; run again, it continues where it stopped. Writes `results.csv` (one row per
seed) and `results.md` beside this file. `--machine` takes words that say where and how it is logged: `tracking=off`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.runs import Entry, Score, results
from experiments.slateq_beyond.run import EXPLORATION
from recsys_cli.evaluation.statistics import mean_interval

HERE = Path(__file__).parent
SATISFACTION = ("env=long_term_satisfaction", "env.num_candidates=20")
PROBLEMS = {
    "evolution": ("env=interest_evolution", "env.slate_size=3"),
    "exploration": ("env=interest_exploration",),
    "exploration-heavy": EXPLORATION,
    "satisfaction-0.01": (*SATISFACTION, "env.sensitivity=0.01"),
    "satisfaction-0.2": (*SATISFACTION, "env.sensitivity=0.2"),
}
TITLES = {
    "evolution": "Interest evolution, 10 candidates, slates of 3",
    "exploration": "Interest exploration, 10/2, as it is",
    "exploration-heavy": "Interest exploration, 10/2, four hidden types that want four kinds of documents",
    "satisfaction-0.01": "Long-term satisfaction, 20/2, sensitivity 0.01 (clickbait is right)",
    "satisfaction-0.2": "Long-term satisfaction, 20/2, sensitivity 0.2 (clickbait is wrong)",
}
EXPLORATIONS = ("exploration", "exploration-heavy")
SATISFACTIONS = ("satisfaction-0.01", "satisfaction-0.2")


@dataclass(frozen=True)
class Line:
    """An algorithm as configured.

    Attributes:
        name: in the table.
        words: on every problem.
        where: more words, by problem.
        without: problems it is not for.
    """

    name: str
    words: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def entry(self, problem: str) -> Entry:
        """Return the line's training on a problem."""
        words = (*PROBLEMS[problem], *self.words, *self.where.get(problem, ()))
        return Entry(f"{problem}-{self.name}", words)


def budget(env_steps: int, points: int = 15, episodes: int = 200) -> tuple[str, ...]:
    """Return the words for so many env steps with so many evaluations."""
    every = env_steps // points
    return (
        f"steps={env_steps}",
        f"report_every={every}",
        f"evaluation.every={every}",
        f"evaluation.episodes={episodes}",
        "checkpoint.every=0",
    )


ALL = "evaluation.baselines=[random,myopic,oracle]"  # once a problem, by the first line
RANDOM = "evaluation.baselines=[random]"
LONG = (*budget(300_000), RANDOM)
# A bandit has learned after a thousandth of that; 256 users learn from more, smaller rounds than 1,024.
SHORT = (*budget(30_000), "resources.users_per_runner=256", RANDOM)

# If the user's type is hidden, the responses in this session reveal it.
SESSION = ("algo.memory=documents",)
Q_SESSION = (*SESSION, "algo.n_step=1")
IN_SESSION = dict.fromkeys(EXPLORATIONS, SESSION)
# 120 slates valued at every step on evolution, 45 on exploration.
EACH_SLATE = {
    "evolution": budget(60_000, 10, 50),
    "exploration": (*budget(150_000, 15, 100), *Q_SESSION),
    "exploration-heavy": (*budget(150_000, 15, 100), *Q_SESSION),
    **dict.fromkeys(SATISFACTIONS, budget(300_000)),
}

LINES = [
    Line("slateq", ("algo=slateq", *budget(300_000, 20, 500), ALL)),
    Line("linucb", ("algo=linucb", *SHORT), IN_SESSION),
    Line("ppo", ("algo=ppo", *LONG), IN_SESSION),
    Line(
        "slateq-memory",
        ("algo=slateq", *LONG),
        {
            "evolution": ("algo.memory=raw",),
            **dict.fromkeys(EXPLORATIONS, Q_SESSION),
            **dict.fromkeys(SATISFACTIONS, ("algo.memory=raw",)),
        },
    ),
    Line("kl_ucb-per-user", ("algo=kl_ucb", "algo.statistics=per_user", *SHORT), without=SATISFACTIONS),
    Line("reinforce_topk", ("algo=reinforce_topk", *LONG), IN_SESSION),
    Line("lints", ("algo=lints", *SHORT), IN_SESSION),
    Line("thompson-per-user", ("algo=thompson", "algo.statistics=per_user", *SHORT), without=SATISFACTIONS),
    Line("neural_linear", ("algo=neural_linear", *SHORT), IN_SESSION),
    Line("impala", ("algo=impala", *LONG), IN_SESSION),
    Line("appo", ("algo=appo", *LONG), IN_SESSION),
    Line("ars", ("algo=ars", *LONG), IN_SESSION),
    Line("es", ("algo=es", *LONG), IN_SESSION),
    Line("a2c", ("experiment=a2c", *LONG), IN_SESSION),
    Line("lspi", ("algo=lspi", *SHORT), IN_SESSION),
    # Five bins of each of twenty interests: its table would not fit.
    Line("tabular_q", ("algo=tabular_q", *LONG), without=("evolution",)),
    # All users take the first document there: no click to predict.
    Line("greedy_pctr", ("algo=greedy_pctr", *SHORT), without=SATISFACTIONS),
    # What it remembers of clickbait stands for the hidden satisfaction.
    Line(
        "tabular_q-memory",
        ("algo=tabular_q", "algo.memory=documents", "algo.user_bins=4", "algo.discount=0.95", *LONG),
        without=("evolution", *EXPLORATIONS),
    ),
    Line("full_slate_q", ("algo=full_slate_q", RANDOM), EACH_SLATE),
    Line("dqn", ("algo=dqn", RANDOM), EACH_SLATE),
    Line("apex", ("experiment=apex", *LONG), IN_SESSION),
    Line("sac", ("algo=sac", RANDOM), EACH_SLATE),
]


# Line by line, so that a table cut off lacks a line and not a problem.
ENTRIES = [line.entry(problem) for line in LINES for problem in PROBLEMS if problem not in line.without]


def section(problem: str, rows: Sequence[Score]) -> str:
    """Return a problem's part of the table, the best return first."""
    own = {line.name: [row for row in rows if row.name == line.entry(problem).name] for line in LINES}
    first = own[LINES[0].name]
    if not first:
        return ""
    random, oracle = first[0].random, first[0].oracle
    assert random is not None and oracle is not None, "the first line plays all baselines"
    table = [
        (score, text) for name, seeds in own.items() if seeds for score, text in [cells(name, seeds, random, oracle)]
    ]
    for name in ("random", "myopic", "oracle"):
        score = getattr(first[0], name)
        table.append(
            (score, f"| *{name}* | {score:.1f} | {100 * (score - random) / (oracle - random):.0f} % | | | | |")
        )
    head = "| algorithm | return | random → oracle | env steps | to 90 % | CPU s | to 90 % |\n" + "|---" * 7 + "|"
    lines = [text for _, text in sorted(table, key=lambda pair: -pair[0])]
    return "\n".join([f"### {TITLES[problem]}\n", head, *lines]) + "\n"


def cells(name: str, seeds: Sequence[Score], random: float, oracle: float) -> tuple[float, str]:
    """Return a line's mean return, and its row: medians over seeds but for the return.

    If the median seed's best is within 5 % of the way from random slates there is nothing to reach 90 % of.
    """
    score = mean_interval([row.score for row in seeds])
    way = 100 * (score.mean - random) / (oracle - random)
    text = f"| {name} | {score} | {way:.0f} % | {seeds[0].env_steps:,} |"
    learned = [row for row in seeds if row.best is not None]
    if not learned:
        return score.mean, f"{text} 0 | 0 | 0 |"
    steps = statistics.median_low([row.env_steps_to_90 or 0 for row in learned])
    cpu = statistics.median_low([row.cpu_s_to_90 or 0.0 for row in learned])
    total = statistics.median([row.train_cpu_s or 0.0 for row in learned])
    if statistics.median([row.best or 0.0 for row in learned]) - random < 0.05 * (oracle - random):
        return score.mean, f"{text} — | {total:.1f} | — |"
    least = "≤ " if steps == min(row.first_evaluation or 0 for row in learned) else ""
    return score.mean, f"{text} {least}{steps:,} | {total:.1f} | {least}{cpu:.2f} |"


def main() -> None:
    """Train what is missing, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/algorithms"), help="folder that gets the runs")
    parser.add_argument("--machine", nargs="*", default=[], help="words of `recsys train` that say where to run")
    parser.add_argument("--no-training", action="store_true", help="only gather what is there")
    args = parser.parse_args()
    csv = HERE / "results.csv"
    rows = results(ENTRIES, args.seeds, args.runs, csv, training=not args.no_training, machine=args.machine)
    text = "\n".join(section(problem, rows) for problem in PROBLEMS)
    (HERE / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
