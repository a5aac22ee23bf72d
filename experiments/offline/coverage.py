"""How often FQE's interval holds the truth: logs drawn anew, policies that do not depend on them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TARGETS, TITLES, env_of, log_of, policy_of
from recsys_cli.offline.choice import fit_choice, known_choice
from recsys_cli.offline.estimators.fqe import LinearFQE, ValueModel
from recsys_cli.offline.judging import Logged

SIZES = {1_000: 200, 10_000: 200, 100_000: 20}  # about so many steps: so many logs at most
ENOUGH = 0.9  # share of logs on which an estimate must not be refused, to count as one


def tasks(lengths: dict[tuple[str, str], float], logs: int | None = None) -> Iterator[pool.Task]:
    """Yield logs, one of every setting, then a second of every setting, and so on.

    Args:
        lengths: mean steps of an episode, by problem and behaviour.
        logs: of each setting; None: see `SIZES`.
    """
    for seed in range(max(SIZES.values()) if logs is None else logs):
        for size, most in SIZES.items():
            # Of the large logs as large a share, evenly.
            if logs is None and seed % (max(SIZES.values()) // most):
                continue
            for behaviour in BEHAVIOURS:
                for problem in PROBLEMS:
                    episodes = max(round(size / lengths[problem, behaviour]), 10)
                    task = {"problem": problem, "behaviour": behaviour, "size": size}
                    yield {**task, "episodes": episodes, "seed": seed}


def work(task: pool.Task) -> pool.Row:
    """Draw a log, and estimate the return of every target from it."""
    problem, behaviour = task["problem"], task["behaviour"]
    spec, logging = env_of(problem).spec, policy_of(problem, behaviour)
    steps = log_of(problem, behaviour, task["episodes"], task["seed"])
    choice = known_choice(spec) or fit_choice(spec, steps)
    model = ValueModel.of(spec, steps)
    logged = Logged.of(model.remembering(steps), choice, logging)
    return {
        "steps": steps.num_steps,
        "logged_return": round(float(steps.returns().mean()), 4),
        "estimates": {name: estimated(logged, model, problem, name) for name in TARGETS},
    }


def estimated(logged: Logged, model: ValueModel, problem: str, target: str) -> dict[str, Any]:
    """Return a target's estimate in plain values."""
    estimator = LinearFQE(model)
    estimator.add(logged.judge(policy_of(problem, target)))
    found = estimator.estimate()
    numbers = {"value": found.value, "low": found.low, "high": found.high, **found.diagnostics}
    plain = {name: round(float(value), 4) if np.isfinite(value) else None for name, value in numbers.items()}
    return {**plain, "refusal": found.refusal}


@dataclass(frozen=True)
class Cell:
    """Estimates of a target from logs of one behaviour and size.

    Attributes:
        problem: of `PROBLEMS`.
        behaviour: of `BEHAVIOURS`.
        size: steps of a log, about.
        target: of `TARGETS`.
        truth: the target's return.
        logs: number of logs.
        refused: share of them from which the estimate was refused.
        bias: mean of the other estimates over the truth, less 1.
        rmse: root of their mean squared error, over the truth.
        width: mean half-width of their intervals, over the truth.
        covered: share of their intervals that hold the truth; nan if there are none.
        bias_all: the same as `bias`, refused or not.
        rmse_all: the same as `rmse`, refused or not.
    """

    problem: str
    behaviour: str
    size: int
    target: str
    truth: float
    logs: int
    refused: float
    bias: float
    rmse: float
    width: float
    covered: float
    bias_all: float
    rmse_all: float


def cells(rows: Sequence[pool.Row], truths: dict[tuple[str, str], pool.Row]) -> list[Cell]:
    """Return the summary of every setting."""
    found = []
    for problem in PROBLEMS:
        for behaviour in BEHAVIOURS:
            for size in SIZES:
                own = pool.of(rows, problem=problem, behaviour=behaviour, size=size)
                for target in TARGETS if own else ():
                    estimates = [row["estimates"][target] for row in own]
                    truth = truths[problem, target]["return"]
                    found.append(Cell(problem, behaviour, size, target, truth, len(own), *_of(estimates, truth)))
    return found


def _of(estimates: Sequence[dict[str, Any]], truth: float) -> tuple[float, ...]:
    every = np.array([each["value"] for each in estimates if each["value"] is not None])
    kept = [each for each in estimates if each["refusal"] is None]
    value, low, high = (np.array([each[name] for each in kept], float) for name in ("value", "low", "high"))
    covered = (low <= truth) & (truth <= high)
    return (
        1 - len(kept) / len(estimates),
        *_errors(value, truth),
        float(np.mean(high - low) / 2 / truth) if len(kept) else float("nan"),
        float(np.mean(covered)) if len(kept) else float("nan"),
        *_errors(every, truth),
    )


def _errors(values: Any, truth: float) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    return float(np.mean(values) / truth - 1), float(np.sqrt(np.mean((values / truth - 1) ** 2)))


def markdown(cells: Sequence[Cell]) -> str:
    """Return a table for every problem: bias, error, interval and coverage of each target by log."""
    lines = []
    for problem, title in TITLES.items():
        own = [cell for cell in cells if cell.problem == problem]
        if not own:
            continue
        lines += [f"### {title}", ""]
        lines += ["| log | steps | logs | " + " | ".join(f"{t} ({_truth(own, t):.1f})" for t in TARGETS) + " |"]
        lines += ["|---" * (3 + len(TARGETS)) + "|"]
        for behaviour, words in BEHAVIOURS.items():
            for size in SIZES:
                row = [cell for cell in own if (cell.behaviour, cell.size) == (behaviour, size)]
                if row:
                    lines.append(f"| {words} | {size:,} | {row[0].logs} | " + " | ".join(map(_words, row)) + " |")
        lines.append("")
    lines += ["| steps | settings | answered | coverage: mean | median | least |", "|---|---|---|---|---|---|"]
    for size in SIZES:
        own = [cell for cell in cells if cell.size == size]
        if covered := [cell.covered for cell in own if cell.refused <= 1 - ENOUGH]:
            numbers = (statistics.mean(covered), statistics.median(covered), min(covered))
            lines.append(f"| {size:,} | {len(own)} | {len(covered)} | {' | '.join(f'{n:.2f}' for n in numbers)} |")
    return "\n".join(lines) + "\n"


def _truth(own: Sequence[Cell], target: str) -> float:
    return next(cell.truth for cell in own if cell.target == target)


def _words(cell: Cell) -> str:
    if cell.refused == 1:
        return "refused"
    refused = f", {cell.refused:.0%} refused" if cell.refused else ""
    return f"{100 * cell.bias:+.1f} ± {100 * cell.width:.1f} / {100 * cell.rmse:.1f} / **{cell.covered:.2f}**{refused}"
