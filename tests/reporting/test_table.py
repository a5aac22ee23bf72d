"""Tables on terminals of any width."""

from __future__ import annotations

import pytest
from rich.console import Console

from recsys_cli.evaluation.compare import Score
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.reporting.table import scores_table

NAMES = ("slateq, 5 seeds", "random", "a_policy_of_a_long_name")


def printed(width: int, names: tuple[str, ...]) -> str:
    means = {"clicks_per_step": 0.486, "watch_time": 277.2, "quality_per_click": 1.558, "episode_length": 145.8}
    scores = [Score(name, mean_interval([276.5, 277.9]), means) for name in names]
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(scores_table(scores, "2,000 fresh users, greedy"))
    return capture.get()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_nothing_is_cut(width: int) -> None:
    text = printed(width, NAMES)
    assert "…" not in text and max(len(line.rstrip()) for line in text.splitlines()) <= width
    for part in (*NAMES, "return ± 95 %", "277.2 ±", "clicks/step", "0.486", "145.8"):
        assert part in text


def test_a_narrow_terminal_gets_a_table_if_it_fits() -> None:
    rows = [line.split() for line in printed(60, ("slateq", "random")).splitlines()]
    assert rows[1][0] == "policy" and rows[3][0] == "slateq" and len(rows) == 5
    listed = printed(60, NAMES).splitlines()
    assert listed[1:4] == ["slateq, 5 seeds", "  return ± 95 %: 277.2 ± 8.9", "  clicks/step: 0.486"]


def test_what_is_left_out_is_said() -> None:
    console = Console(width=60, highlight=False)
    with console.capture() as capture:
        console.print(scores_table([Score("slateq", mean_interval([1.0, 2.0]), {})], "2 fresh users", "no oracle: why"))
    assert [line.strip() for line in capture.get().splitlines()[:2]] == ["2 fresh users", "no oracle: why"]
