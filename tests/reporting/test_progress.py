"""How far an evaluation is: nothing if it is quick, then a line for each policy, or one that changes."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from recsys_cli.config.structured import load
from recsys_cli.evaluation import compare
from recsys_cli.policies import UniformPolicy
from recsys_cli.reporting import progress
from recsys_cli.reporting.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def play(show: Progress, clock: list[float]) -> None:
    """Two policies, a step a second, the second after planning."""
    for name, steps in (("slateq", 20), ("oracle", 3)):
        if name == "oracle":
            show("planning the oracle")
        for step in range(steps):
            show(name, 100 * step, 2000)
            clock[0] += 1


def test_piped_a_few_lines_after_two_seconds(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("auto") as show:
        play(show, clock)
    assert capsys.readouterr() == (
        "",
        "slateq: 200 of 2,000 users\nslateq: 1,200 of 2,000 users\nplanning the oracle\noracle: 0 of 2,000 users\n",
    )


def test_quick_evaluations_say_nothing(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("plain") as show:
        show("slateq", 0, 20)
        clock[0] += 1.9
        show("slateq", 20, 20)
    assert capsys.readouterr() == ("", "")


def test_off_is_off(clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("off") as show:
        play(show, clock)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_one_line_changes_and_goes(clock) -> None:
    show, out = Progress("rich"), StringIO()
    show.console = Console(file=out, force_terminal=True, width=60)
    with show:
        play(show, clock)
    assert "\x1b[2K" in out.getvalue(), "the line is not removed"
    assert "oracle: 200 of 2,000 users" in out.getvalue()


def test_a_policy_that_must_plan_is_shown_first() -> None:
    class Planner(UniformPolicy):
        def must_plan(self, env) -> bool:
            return True

    shown: list[tuple] = []
    env = load("env", "interest_exploration", horizon=2)
    compare.score("oracle", Planner(2), env, 7, 0, lambda *line: shown.append(line))
    assert shown == [("planning the oracle",), ("oracle", 0, 7), ("oracle", 7, 7)]
