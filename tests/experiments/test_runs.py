"""The published tables can be read, and what they say of learning curves is what was reported."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.learning_curves import Point, progress
from experiments.runs import COLUMNS, Score, read_csv, write_csv
from recsys_cli.config.paths import conf_dir

TABLES = sorted((conf_dir().parent / "experiments").glob("*/*.csv"))
PLAIN = Score("a", 1, 270.5, None, 0.5, 80.0, 1000, 160.0, 168.0, None, "id/last", "recsys train seed=1")


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_table_of_scores_is_read_whole_and_others_are_left(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = read_csv(path)
    if not set(COLUMNS) <= set(rows[0]):
        assert scores == []
        return
    assert [score.command for score in scores] == [row["command"] for row in rows]
    assert all(score.command.endswith(f" seed={score.seed}") for score in scores)


@pytest.mark.parametrize(
    "row", [PLAIN, replace(PLAIN, best=270.0, first_evaluation=10, env_steps_to_90=20, cpu_s_to_90=0.5)]
)
def test_what_is_written_is_read(tmp_path: Path, row: Score) -> None:
    write_csv([row], tmp_path / "table.csv")
    assert read_csv(tmp_path / "table.csv") == [row]
    assert read_csv(tmp_path / "none.csv") == []


def test_ninety_per_cent_is_of_the_way_from_random_to_the_smoothed_best() -> None:
    curve = [Point(step, step / 10, score) for step, score in ((10, 0.0), (20, 95.0), (30, 100.0), (40, 105.0))]
    assert progress(curve, 0.0, 90.0) == {
        "best": 100.0,
        "first_evaluation": 10,
        "env_steps_to_90": 20,
        "cpu_s_to_90": 2.0,
        "train_cpu_s": 4.0,
    }
    assert progress(curve, 0.0, 110.0)["env_steps_to_90"] == 30, "the final return counts where it is greater"
    assert progress(curve, 0.0, 200.0)["env_steps_to_90"] == 40, "reached at the end at the latest"
    assert progress(curve, 80.0, 90.0)["env_steps_to_90"] == 30
    assert progress([], 0.0, 1.0) == progress(curve, None, 1.0) == {}
