"""`recsys train` as users run it: what it prints and leaves, and that interrupting it costs nothing."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path

import pytest
import yaml
from running import LONG, SMOKE, Recsys, Trained, assert_nothing_is_left, policy_bytes, read

from recsys_cli.files import read_jsonl
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.mlflow_client import connect

pytestmark = [pytest.mark.xdist_group("commands")]


def test_prints_table_run_id_and_next_command(trained: Trained) -> None:
    out = trained.outcome.out
    assert "training slateq on interest_evolution (C=10, k=2): 6,000 steps" in out
    assert "20 fresh users, greedy" in out
    assert [line.split()[0] for line in out.splitlines() if " ± " in line and line[0].isalpha()][1:] == [
        "slateq",
        "random",
    ]
    assert trained.outcome.words_after("run id")[0] == trained.run_id
    expected = ["recsys", "evaluate", f"checkpoint={trained.run_id}/last", "output_dir=my runs"]
    assert shlex.split(" ".join(trained.outcome.words_after("next:"))) == expected
    assert "Traceback" not in trained.outcome.err


def test_leaves_the_documented_files(trained: Trained) -> None:
    assert yaml.safe_load((trained.run_dir / "config.yaml").read_text())["algo"]["batch_size"] == 64
    about = read(trained.run_dir / "run.json")
    assert about["command"] == ["recsys", "train", *LONG, "name=whole", "output_dir=my runs"]
    assert about["seeds"] == ["seed_0"]
    assert read(trained.seed / "seed.json")["status"] == "finished"
    assert (trained.run_dir / "ray_logs" / "gcs_server.out").is_file()
    assert not (trained.run_dir / "ray_logs").is_symlink()
    checkpoints = trained.seed / "checkpoints"
    last, best = read(checkpoints / "last.json"), read(checkpoints / "best.json")
    assert 6_000 <= last["steps"] < 6_500
    steps = {path.name for path in checkpoints.glob("step_*")}
    assert {last["path"], best["path"]} <= steps and len(steps) <= 3
    assert not list(trained.run_dir.rglob(".tmp-*"))
    bundle = read_bundle(checkpoints / last["path"])
    assert bundle.info["steps"] == last["steps"]
    assert bundle.training_state is not None


def test_reports_every_few_steps(trained: Trained) -> None:
    rows = read_jsonl(trained.seed / "metrics.jsonl")
    steps = [row["steps"] for row in rows]
    assert steps == sorted(set(steps)) and len(steps) > 18
    evaluated = [row["steps"] for row in rows if "eval/return" in row["metrics"]]
    assert [steps // 2000 for steps in evaluated] == [1, 2, 3]
    best = read(trained.seed / "checkpoints" / "best.json")
    assert best["return"] == max(row["metrics"].get("eval/return", 0) for row in rows)
    assert {"learner/loss", "learner/lr", "train/return", "time/steps_per_s"} <= set(rows[-1]["metrics"])


def test_mlflow_has_the_run(trained: Trained) -> None:
    client = connect(f"sqlite:///{trained.run_dir.parent / 'mlflow.db'}")
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["algo.batch_size"] == "64"
    assert run.data.tags["command"].startswith("recsys train debug=smoke")
    assert {"git_commit", "versions.ray", "seed"} <= set(run.data.tags)
    history = client.get_metric_history(trained.run_id, "eval/return")
    rows = [row for row in read_jsonl(trained.seed / "metrics.jsonl") if "eval/return" in row["metrics"]]
    assert [(point.step, point.value) for point in history] == [
        (row["steps"], row["metrics"]["eval/return"]) for row in rows
    ]
    assert "evaluation/return" in run.data.metrics
    bundles = [item.path for item in client.list_artifacts(trained.run_id, "checkpoints")]
    assert bundles
    files = {Path(item.path).name for item in client.list_artifacts(trained.run_id, bundles[0])}
    assert {"recsys.yaml", "policy.safetensors"} <= files


def kill_at(recsys: Recsys, name: str, seconds: float | None, checkpoints: int = 0) -> int:
    """Start `LONG` and kill its process group, after some seconds or when there are so many checkpoints."""
    process = recsys.start("train", *LONG, f"name={name}")
    folder = recsys.folder / "runs" / name / "seed_0" / "checkpoints"
    if seconds is None:
        recsys.wait_for(lambda: len(list(folder.glob("step_*"))) >= checkpoints, process)
    else:
        time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.pid


def assert_whole(seed: Path) -> None:
    """Check that every file that stands is whole."""
    for path in seed.glob("checkpoints/step_*"):
        read_bundle(path)
    for path in seed.rglob("*.json"):
        read(path)


def assert_the_uninterrupted_one(seed: Path, trained: Trained) -> None:
    assert policy_bytes(seed) == policy_bytes(trained.seed)
    assert policy_bytes(seed, "best") == policy_bytes(trained.seed, "best")
    ours, theirs = (read_jsonl(folder / "metrics.jsonl") for folder in (seed, trained.seed))
    timeless = [
        [{name: value for name, value in row["metrics"].items() if not name.startswith("time/")} for row in rows]
        for rows in (ours, theirs)
    ]
    assert timeless[0] == timeless[1]
    assert read(seed / "evaluation.json")["policies"] == read(trained.seed / "evaluation.json")["policies"]


@pytest.mark.parametrize(
    ("seconds", "checkpoints"),
    [
        (None, 2),
        pytest.param(None, 1, marks=pytest.mark.slow),
        pytest.param(1.0, 0, marks=pytest.mark.slow),
        pytest.param(4.0, 0, marks=pytest.mark.slow),
        pytest.param(9.0, 0, marks=pytest.mark.slow),
        pytest.param(12.0, 0, marks=pytest.mark.slow),
    ],
)
def test_kill_9_costs_one_checkpoint_interval_at_most(
    recsys: Recsys, trained: Trained, seconds: float | None, checkpoints: int
) -> None:
    pid = kill_at(recsys, "killed", seconds, checkpoints)
    assert_nothing_is_left(pid)
    seed = recsys.folder / "runs" / "killed" / "seed_0"
    if not (seed.parent / "config.yaml").exists():
        return  # killed before it began: there is nothing to resume
    assert_whole(seed)
    resumed = recsys("train", "resume=killed")
    assert resumed.code == 0, resumed
    if checkpoints:
        assert "seed_0: continues from" in resumed.out
    assert_the_uninterrupted_one(seed, trained)
    assert not list(seed.parent.rglob(".tmp-*"))


def test_ctrl_c_checkpoints_and_resume_goes_on_to_the_same_end(recsys: Recsys, trained: Trained) -> None:
    process = recsys.start("train", *LONG, "name=stopped")
    journal = recsys.folder / "runs" / "stopped" / "seed_0" / "metrics.jsonl"
    recsys.wait_for(lambda: journal.exists() and journal.stat().st_size > 1000, process)
    os.killpg(process.pid, signal.SIGINT)
    stopped = recsys.finish(process)
    assert stopped.code == 130, stopped
    assert "stopping after the next report" in stopped.out
    assert stopped.words_after("continue:") == ["recsys", "train", "resume=stopped"]
    assert "Traceback" not in stopped.err
    assert_nothing_is_left(process.pid)
    seed = journal.parent
    last = read(seed / "checkpoints" / "last.json")["steps"]
    assert last == read_jsonl(journal)[-1]["steps"]
    assert read(seed / "seed.json")["status"] == "stopped"

    resumed = recsys.here("train", "resume=stopped", "resources.inline=true")
    assert resumed.code == 0, resumed
    assert f"seed_0: continues from {last:,} of 6,000 steps" in resumed.out
    assert_the_uninterrupted_one(seed, trained)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 2.0, 4.0, 6.0, 8.0])
def test_ctrl_c_during_start_up_ends_cleanly(recsys: Recsys, trained: Trained, seconds: float) -> None:
    process = recsys.start("train", *LONG, "name=early")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    stopped = recsys.finish(process)
    # While C extensions are imported, the signal may end the process before any handler of Python's can run.
    assert stopped.code in (130, -signal.SIGINT), stopped
    assert_nothing_is_left(process.pid)
    if (recsys.folder / "runs" / "early" / "config.yaml").exists():
        assert stopped.words_after("continue:") == ["recsys", "train", "resume=early"]
        assert recsys("train", "resume=early").code == 0
        assert_the_uninterrupted_one(recsys.folder / "runs" / "early" / "seed_0", trained)


@pytest.mark.slow
def test_ctrl_c_during_the_final_evaluation_says_how_to_get_it(recsys: Recsys) -> None:
    process = recsys.start("train", *SMOKE, "name=late", "evaluation.users=2000000")
    last = recsys.folder / "runs" / "late" / "seed_0" / "checkpoints" / "last.json"
    recsys.wait_for(lambda: last.exists() and read(last)["steps"] >= 2000, process)
    time.sleep(6.0)
    os.killpg(process.pid, signal.SIGINT)
    stopped = recsys.finish(process)
    assert stopped.code == 130, stopped
    assert stopped.words_after("continue:") == ["recsys", "train", "resume=late"]
    assert read(last.parent.parent / "seed.json")["status"] == "stopped"
    resumed = recsys("train", "resume=late", "evaluation.users=20")
    assert resumed.code == 0
    assert "nothing left to train" in resumed.out


@pytest.mark.slow
def test_seeds_make_a_folder_each_under_one_run(recsys: Recsys) -> None:
    outcome = recsys("train", *SMOKE, "seeds=2", "seed=3", "name=two")
    assert outcome.code == 0, outcome
    assert "slateq, 2 seeds" in outcome.out and "over seeds" in outcome.out
    run_dir = recsys.folder / "runs" / "two"
    assert {path.parent.name for path in run_dir.glob("*/seed.json")} == {"seed_3", "seed_4"}
    assert policy_bytes(run_dir / "seed_3") != policy_bytes(run_dir / "seed_4")
    client = connect(f"sqlite:///{recsys.folder / 'runs' / 'mlflow.db'}")
    runs = [client.get_run(read(run_dir / name / "seed.json")["mlflow_run_id"]) for name in ("seed_3", "seed_4")]
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 1
    assert [client.get_run(parent).info.status for parent in parents] == ["FINISHED"]
    assert [run.data.tags["seed"] for run in runs] == ["3", "4"]


@pytest.mark.slow
def test_two_trainings_may_start_in_the_same_second(recsys: Recsys) -> None:
    both = [recsys.start("train", *SMOKE) for _ in range(2)]
    outcomes = [recsys.finish(process) for process in both]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    assert len({outcome.words_after("run id")[0] for outcome in outcomes}) == 2
    assert len(list((recsys.folder / "runs").glob("*/run.json"))) == 2
