"""`recsys sweep` as users run it, killed on the way."""

from __future__ import annotations

import csv
import os
import shlex
import signal
from pathlib import Path

import pytest
from running import Recsys, assert_nothing_is_left, read

from recsys_cli.tracking.mlflow_client import connect

pytestmark = [pytest.mark.xdist_group("commands")]

WORDS = ("debug=smoke", "steps=6000", "algo.learning_starts=500", "algo.batch_size=64", "search.seeds_per_point=1")
HYPERBAND = ("search=hyperband", "search.trials=6", "search.min_steps=600", "algo.lr=tag(log,interval(1e-4,1e-2))")
SEARCHES = {
    "grid": ("algo.lr=1e-2,1e-3,1e-4", "search.seeds_per_point=2"),
    "hyperband": HYPERBAND,
    "pbt": ("search=pbt", "search.trials=4", "search.perturb_every=1000", "algo.lr=tag(log,interval(1e-4,1e-2))"),
}


def points(folder: Path) -> list[dict[str, str]]:
    with (folder / "points.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reports(folder: Path) -> int:
    return sum(path.read_text().count("\n") for path in folder.glob("p*/metrics.jsonl"))


def test_a_sweep_tells_what_it_does_and_mlflow_remembers_it(recsys: Recsys) -> None:
    few = ("steps=2000", "search.trials=4", "algo.learning_starts=200", "evaluation.baselines=[random]")
    process = recsys.start("sweep", *WORDS, *HYPERBAND, *few, "name=a")
    outcome = recsys.finish(process, 300)
    assert outcome.code == 0, outcome
    assert_nothing_is_left(process.pid)
    out = outcome.out
    assert out.startswith("search=hyperband: 4 points, 2,000 steps each, 8,000 at most")
    assert "Traceback" not in outcome.err
    folder = recsys.folder / "runs" / "a"
    best = read(folder / "best.json")["best"]["all"]
    client = connect(f"sqlite:///{folder.parent / 'mlflow.db'}")
    (experiment,) = (each for each in client.search_experiments() if each.name == "recsys")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if run.data.tags.get("kind") == "sweep")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    found = {row["folder"]: row for row in points(folder)}
    for run in children:
        row = found[run.info.run_name.removeprefix("a/")]
        assert (run.data.tags.get("state", "finished"), run.data.tags["point"]) == (row["state"], row["point"])
        assert run.data.tags["axis.algo.lr"] == row["algo.lr"]
        assert run.data.metrics["eval/return"] == pytest.approx(float(row["score"]), abs=1e-5)
    assert parent.data.metrics["best/eval/return"] == pytest.approx(best["score"])
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"points.csv", "best.json", "config.yaml", "parallel.svg", "slices.svg"} <= files
    words = shlex.split(" ".join(outcome.words_after("next:")))
    printed = recsys.here(*words[1:-1], "--cfg", "job")
    assert f"lr: {float(best['values']['algo.lr'])}" in printed.out


@pytest.mark.slow
@pytest.mark.parametrize("search", list(SEARCHES))
def test_killed_twice_a_sweep_ends_as_an_undisturbed_one(recsys: Recsys, search: str) -> None:
    words = (*WORDS, "tracking=off", "evaluation.baselines=[random]", *SEARCHES[search])
    assert recsys.finish(recsys.start("sweep", *words, "name=whole"), 300).code == 0
    runs = recsys.folder / "runs"
    total = reports(runs / "whole")
    for part in (1, 2):
        again = ("resume=a",) if part == 2 else (*words, "name=a")
        process = recsys.start("sweep", *again)
        recsys.wait_for(lambda at=total * part // 3: reports(runs / "a") >= at, process, 300)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert recsys.finish(recsys.start("sweep", "resume=a"), 300).code == 0
    assert points(runs / "a") == points(runs / "whole")


@pytest.mark.slow
def test_ctrl_c_ends_with_the_command_that_continues(recsys: Recsys) -> None:
    process = recsys.start("sweep", *WORDS, "tracking=off", "name=a", *HYPERBAND)
    recsys.wait_for(lambda: reports(recsys.folder / "runs" / "a") >= 3, process)
    os.killpg(process.pid, signal.SIGINT)
    outcome = recsys.finish(process)
    assert outcome.code == 130, outcome
    assert "stopping after the next report" in outcome.out and "continue: recsys sweep resume=a" in outcome.out
    assert_nothing_is_left(process.pid)
    assert recsys.finish(recsys.start("sweep", "resume=a"), 300).code == 0


FRAGILE = """\
from dataclasses import dataclass
from pathlib import Path

from recsys_cli.algos.random.config import RandomConfig


@dataclass
class Fragile(RandomConfig):
    lr: float

    def make_training(self, run, seed):
        if self.lr == 2 and not Path("MARK").exists():
            Path("MARK").touch()
            raise RuntimeError("the second one broke")
        return super().make_training(run, seed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["continue", "retry"])
def test_a_failed_trial_is_tried_again_at_once_or_by_the_next_resume(recsys: Recsys, policy: str) -> None:
    own = recsys.folder / "own"
    (own / "algo").mkdir(parents=True)
    (own / "fragile.py").write_text(FRAGILE.replace("MARK", str(recsys.folder / "mark")))
    (own / "algo/fragile.yaml").write_text("# Breaks once\n_target_: fragile.Fragile\nname: fragile\nlr: 1.0  # any\n")
    words = ("debug=smoke", "tracking=off", "evaluation.baselines=[random]", "algo=fragile", "algo.lr=1,2,3", "name=a")
    outcome = recsys("sweep", "--config-dir", str(own), *words, f"search.on_failure={policy}")
    states = {row["algo.lr"]: row["state"] for row in points(recsys.folder / "runs" / "a")}
    if policy == "continue":
        assert outcome.code == 1 and states == {"1": "finished", "2": "failed", "3": "finished"}
        assert "p001-seed_0 failed: RuntimeError: the second one broke; all of it in runs/a/p001-seed_0" in outcome.out
        outcome = recsys("sweep", "--config-dir", str(own), "resume=a")
        states = {row["algo.lr"]: row["state"] for row in points(recsys.folder / "runs" / "a")}
    assert outcome.code == 0, outcome
    assert set(states.values()) == {"finished"}
