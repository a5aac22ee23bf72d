"""What is lost by picking the policy that a log says is best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TITLES


@dataclass(frozen=True)
class Pick:
    """One log's candidates.

    Attributes:
        problem: of `PROBLEMS`.
        behaviour: of `BEHAVIOURS`.
        size: steps of the log, about.
        candidates: number of them.
        best: true return of the best.
        held_out: regret of the greatest estimate on held-out episodes.
        whole: of the greatest estimate on all episodes, those learned from too.
        answered: of the greatest estimate on all episodes that is not refused; if all are, of keeping the behaviour.
        blind: mean regret of a candidate picked at random.
        keeping: regret of keeping the behaviour.
    """

    problem: str
    behaviour: str
    size: int
    candidates: int
    best: float
    held_out: float
    whole: float
    answered: float
    blind: float
    keeping: float


def picks(rows: Sequence[pool.Row]) -> list[Pick]:
    """Return the pick of every log that at least two candidates were judged from.

    Args:
        rows: of the grid.
    """
    logs: dict[tuple[str, str, int, int], list[pool.Row]] = {}
    for row in rows:
        logs.setdefault((row["problem"], row["behaviour"], row["size"], row["seed"]), []).append(row)
    return [_pick(*log[:3], own) for log, own in sorted(logs.items()) if len(own) > 1]


def _pick(problem: str, behaviour: str, size: int, own: Sequence[pool.Row]) -> Pick:
    true = [row["true_return"] for row in own]
    best, kept = max(true), own[0]["logged_return"]

    def regret(values: Sequence[float]) -> float:
        """Return the regret of the greatest value; nan ones are none."""
        known = [(value, one) for value, one in zip(values, true, strict=True) if math.isfinite(value)]
        return best - (max(known)[1] if known else kept)

    held_out = [row["held_out"].get("return", math.nan) for row in own]
    whole = [row["whole"].get("return", math.nan) for row in own]
    answered = [value if row["whole"]["refusal"] is None else math.nan for value, row in zip(whole, own, strict=True)]
    regrets = regret(held_out), regret(whole), regret(answered)
    return Pick(problem, behaviour, size, len(own), best, *regrets, best - statistics.mean(true), best - kept)


def markdown(picks: Sequence[Pick]) -> str:
    """Return a table of mean regrets in per cent of the best candidate's return."""
    lines = [
        "| problem | log | steps | logs | candidates | best | held out | whole log | not refused | at random | keep |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for problem in PROBLEMS:
        for behaviour, words in BEHAVIOURS.items():
            of = [pick for pick in picks if (pick.problem, pick.behaviour) == (problem, behaviour)]
            for size in sorted({pick.size for pick in of}):
                own = [pick for pick in of if pick.size == size]
                mean = {
                    name: statistics.mean(100 * getattr(pick, name) / pick.best for pick in own)
                    for name in ("held_out", "whole", "answered", "blind", "keeping")
                }
                best = statistics.mean(pick.best for pick in own)
                cells = " | ".join(f"{value:.1f}" for value in mean.values())
                most = max(pick.candidates for pick in own)
                lines.append(f"| {TITLES[problem]} | {words} | {size:,} | {len(own)} | {most} | {best:.1f} | {cells} |")
    return "\n".join(lines) + "\n"
