"""A sweep's time estimate, from what earlier runs left in their folders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.config.compose import compose
from recsys_cli.files import read_json, write_json
from recsys_cli.reporting.estimate import estimate, note_took
from recsys_cli.runs.plan import Plan

BEGAN = 1_700_000_000.0
BASE = ("steps=300000", "output_dir=.", "resources.num_cpus=1")


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that makes the folder of a run: 30,000 steps/s, trials one after another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 2)

    def make(name: str, first_reports: list[float], **about: Any) -> Path:
        created = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(BEGAN))
        write_json(tmp_path / name / "run.json", {"created": created, "env": "interest_evolution", "algo": "slateq"})
        for number, first in enumerate(first_reports):
            seed = tmp_path / name / f"seed_{number}"
            write_json(seed / "seed.json", {})
            rows = [{"steps": 30_000 * i, "time": BEGAN + first + i, "metrics": {}} for i in range(11)]
            (seed / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return tmp_path / name

    return make


def test_nothing_is_said_without_a_run(earlier: Callable[..., Path]) -> None:
    config = compose("sweep", BASE)
    assert estimate(config, 6).startswith("no time estimate: no run of algo=slateq on env=interest_evolution in .")


def test_the_speed_alone_is_said_to_be_that(earlier: Callable[..., Path]) -> None:
    earlier("a", [20.0])
    said = estimate(compose("sweep", BASE), 6)
    assert said == (
        "about 60 s, as earlier runs here took, 1 at a time, without start-up and evaluation, which none recorded"
    )


def test_one_training_bounds_what_a_sweep_takes(earlier: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = earlier("a", [20.0])
    config = compose("train", BASE)
    monkeypatch.setattr("time.time", lambda: BEGAN + 55.0)
    note_took(config, Plan(config), run)
    took = read_json(run / "run.json")["took"]
    assert took == {"before": 20.0, "after": 25.0, "training": 10.0, "waves": 1, "seeds_per_trial": 1}
    # 20 s of start-up and 25 s of evaluation around six trainings of 10 s; a later trial's start takes 0 to 20 s.
    said = estimate(compose("sweep", BASE), 6)
    assert said == "about 2 min to 3 min, as earlier runs here took, 1 at a time, start-up and evaluation included"
    two = compose("sweep", [*BASE, "search=asha", "resources.num_cpus=2"])
    assert estimate(two, 6).startswith("about 75 s to 2 min at most, as earlier runs here took, 2 at a time")


def test_a_run_of_several_trials_tells_what_each_start_takes(
    earlier: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = earlier("a", [20.0, 35.0, 50.0])  # each starts 5 s after the one before has ended
    config = compose("train", [*BASE, "seeds=3"])
    monkeypatch.setattr("time.time", lambda: BEGAN + 85.0)
    note_took(config, Plan(config), run)
    assert estimate(compose("sweep", BASE), 11).startswith("about 3 min, as")  # 45 + 11 x 10 + 10 x 5 s
    assert estimate(compose("sweep", [*BASE, "steps=30000"]), 3).startswith("about 58 s, as")


def test_damaged_neighbours_are_passed_over(earlier: Callable[..., Path]) -> None:
    earlier("a", [20.0])
    for name, text in {"b": "{", "c": "[]", "d": '{"env": "interest_evolution", "algo": "slateq"}'}.items():
        run = earlier(name, [20.0])
        (run / "run.json").write_text(text)
        (run / "seed_0/metrics.jsonl").write_text('{"steps": 1}\n{"a": 2}\n')
    assert estimate(compose("sweep", BASE), 6).startswith("about 60 s, as")
