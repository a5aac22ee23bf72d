"""The offline experiment's tasks: done once, kept when killed, summed up from what is there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from experiments.offline import coverage, pool, regret, truths
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TARGETS


def work(task: pool.Task) -> pool.Row:
    """Divide."""
    return {"share": 1 / task["by"]}


def test_tasks_are_done_once_and_failures_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = pool.do([{"by": 2}, {"by": 0}], work, path, workers=1)
    assert [(row["by"], row["share"]) for row in rows] == [(2, 0.5)]
    with path.open("a") as file:
        file.write('{"by": 4, "sha')  # a kill while writing
    path.write_text(path.read_text() + "\n")
    rows = pool.do([{"by": by} for by in (4, 2, 0)], work, path, workers=1)
    assert sorted(row["by"] for row in rows) == [2, 4]
    lines = path.read_text().splitlines()
    assert sum('"by": 2' in line for line in lines) == 1
    assert sum('"error"' in line for line in lines) == 2


def test_no_task_begins_after_the_time_is_up(tmp_path: Path) -> None:
    assert pool.do([{"by": 1}], work, tmp_path / "rows.jsonl", workers=1, seconds=0) == []


def test_any_prefix_of_the_logs_is_balanced() -> None:
    lengths = {(problem, behaviour): 50.0 for problem in PROBLEMS for behaviour in BEHAVIOURS}
    settings = len(PROBLEMS) * len(BEHAVIOURS) * len(coverage.SIZES)
    first = list(coverage.tasks(lengths, logs=2))[:settings]
    assert len({(task["problem"], task["behaviour"], task["size"]) for task in first}) == settings
    sizes = [task["size"] for task in coverage.tasks(lengths)]
    a_log_each = len(PROBLEMS) * len(BEHAVIOURS)
    assert {size: sizes.count(size) for size in coverage.SIZES} == {
        size: most * a_log_each for size, most in coverage.SIZES.items()
    }


def test_coverage_counts_the_intervals_that_are_not_refused() -> None:
    def row(value: float, refusal: str | None) -> pool.Row:
        estimate = {"value": value, "low": value - 2, "high": value + 2, "refusal": refusal}
        task = {"problem": "satisfaction", "behaviour": "random", "size": 1000}
        return {**task, "estimates": dict.fromkeys(TARGETS, estimate)}

    true = {("satisfaction", target): {"return": 100.0} for target in TARGETS}
    found = coverage.cells([row(101, None), row(97, None), row(50, "no support")], true)
    assert len(found) == len(TARGETS)
    assert (found[0].logs, found[0].covered) == (3, 0.5)
    assert found[0].refused == pytest.approx(1 / 3)
    assert found[0].bias == pytest.approx(-0.01)
    assert found[0].width == pytest.approx(0.02)


def test_regret_is_lost_by_the_pick_of_the_log() -> None:
    def row(true: float, held_out: float, whole: float, refusal: str | None) -> pool.Row:
        log = {"problem": "satisfaction", "behaviour": "random", "size": 1000, "seed": 0, "logged_return": 5.0}
        estimates = {"held_out": {"return": held_out}, "whole": {"return": whole, "refusal": refusal}}
        return {**log, "true_return": true, **estimates}

    (pick,) = regret.picks([row(10, 8, 9, "few samples"), row(7, 9, 8, None), row(4, math.nan, 1, None)])
    assert (pick.held_out, pick.whole, pick.answered, pick.blind, pick.keeping) == (3, 0, 3, 3, 5)


def test_truths_of_several_rounds_are_joined(tmp_path: Path) -> None:
    rows = [
        {"problem": "p", "policy": "a", "users": 100, "return": 1.0, "return_error": 0.3, "length": 5.0, "key": "0"}
    ]
    rows += [{**rows[0], "users": 300, "return": 3.0, "return_error": 0.1, "key": "1"}]
    (tmp_path / "truths.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = truths.found(tmp_path)["p", "a"]
    assert (found["users"], found["return"], found["length"]) == (400, 2.5, 5.0)
    assert found["return_error"] == pytest.approx(math.hypot(30, 30) / 400)
