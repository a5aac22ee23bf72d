"""What is shown while a run trains: lines elsewhere than on a terminal, a table on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recsys_cli.config.compose import compose
from recsys_cli.runs.display import Display
from recsys_cli.runs.plan import Plan
from recsys_cli.search.checks import check_sweep
from recsys_cli.search.plan import SearchPlan
from recsys_cli.search.points import Space


def report(steps: int, score: float, **more: Any) -> dict[str, Any]:
    metrics = {"eval/return": score, "train/return": score - 1, "time/steps_per_s": 250.0}
    return {"steps": steps, "metrics": metrics, "finished": False, "repeated": False, **more}


def drawn(display: Display) -> str:
    return drawn_at(160, display)


def drawn_at(width: int, display: Display) -> str:
    display.console = Console(width=width)
    with display.console.capture() as capture:
        display.console.print(display.renderable())
    return capture.get()


@pytest.fixture
def training() -> Display:
    """The display of a training of two seeds, of which the second waits."""
    plan = Plan(compose("train", ["debug=smoke", "steps=1000", "seeds=2"]))
    display = Display("plain", plan)
    for name, done in (("seed_0", 500), ("seed_1", 0)):
        display.add(name, plan.points[0], "waiting", done)
    return display


@pytest.fixture
def search() -> Display:
    """The display of a grid of three points, of which the last was trained before."""
    space = Space(["algo.lr=1e-3,1e-4,1e-5", "debug=smoke", "steps=1000", "report_every=500", "evaluation.every=500"])
    plan = SearchPlan(space.base, space, Path())
    plan.points = check_sweep(space)
    display = Display("plain", plan)
    for point, state, done in zip(plan.points, ("waiting", "waiting", "finished"), (0, 0, 1000), strict=True):
        display.add(f"{point.name}-seed_0", point, state, done)
    return display


def test_a_training_prints_a_line_an_evaluation(training: Display, capsys: pytest.CaptureFixture[str]) -> None:
    training.set_references({"random": 154.9})
    training.report("seed_0", {**report(600, 0.0), "metrics": {}})
    training.report("seed_0", report(750, 170.25))
    training.show("seed_0", "finished")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "baselines: random 154.9" and len(lines) == 2
    assert lines[1].startswith("seed_0: 750 of 1,000 steps, 250 steps/s, greedy return 170.2, ")


def test_a_training_that_settles_says_after_how_many_steps(
    training: Display, capsys: pytest.CaptureFixture[str]
) -> None:
    training.report("seed_0", report(750, 170.25, finished=True))
    assert capsys.readouterr().out.startswith("seed_0: done after 750 steps, ")
    assert training.seeds["seed_0"].left == 0 and training.seeds["seed_1"].left == 1_000


def test_a_training_is_drawn_with_every_seed_and_the_baselines(training: Display) -> None:
    training.set_references({"random": 154.9})
    training.report("seed_0", report(750, 170.25))
    rows = drawn(training).splitlines()
    assert "return while exploring" in rows[0] and "greedy return" in rows[0]
    assert [row.split()[0] for row in rows[2:]] == ["seed_0", "seed_1", "(random)"]
    assert {"750", "250", "169.2", "170.2"} <= set(rows[2].split()) and "waiting" in rows[3]


def test_a_narrow_terminal_cuts_no_name(training: Display) -> None:
    training.set_references({"random": 154.9})
    training.report("seed_0", report(750, 170.25))
    text = drawn_at(60, training)
    rows = text.splitlines()
    assert "…" not in text and [row.split()[0] for row in rows[2:]] == ["seed_0", "seed_1", "(random)"]


def test_a_search_prints_how_each_seed_ended(search: Display, capsys: pytest.CaptureFixture[str]) -> None:
    search.show("p000-seed_0", "running")
    search.report("p000-seed_0", report(500, 170.25))
    search.show("p000-seed_0", "failed")
    assert capsys.readouterr().out == "p000-seed_0 failed at 500 steps, eval/return 170.2: algo.lr=0.001\n"


def test_a_search_is_drawn_by_what_runs_what_is_best_and_the_time_left(
    search: Display,
) -> None:
    search.report("p001-seed_0", report(250, 170.25))
    assert "left," not in drawn(search)  # so far all was start-up
    search.seeds["p001-seed_0"].began -= 22.5
    search.report("p001-seed_0", report(500, 170.25))
    rows = drawn(search).splitlines()
    assert [row.split()[0] for row in rows[2:-1]] == ["p001-seed_0"] and "algo.lr=0.0001" in rows[2]
    # 250 steps in 22.5 s, and 1,500 to go; what was there before counts for nothing.
    summary = "1 running, 1 finished, 1 waiting, at most 2 min left, best so far 170.2 (p001-seed_0: algo.lr=0.0001)"
    assert rows[-1].strip() == summary
