"""Trainings in this process, without Ray: every problem, every algorithm, what fails, extending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys_cli.cli import main
from recsys_cli.config.paths import conf_dir
from recsys_cli.files import read_json, read_jsonl
from recsys_cli.tracking.bundle import read_bundle

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
PLAIN = ("debug=smoke", "resources=inline", "progress=plain", "tracking=off")
SMOKE = (*PLAIN, "evaluation.baselines=[random]")


Train = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("problem", [name for name in PROBLEMS if name != "interest_evolution"])  # the other tests'
def test_every_problem_trains(train: Train, problem: str) -> None:
    code, printed = train(*PLAIN, f"env={problem}", "name=a", "evaluation.baselines=[random,myopic,oracle]")
    assert code == 0, printed
    for policy in ("slateq", "random", "myopic", "oracle"):
        assert f"\n{policy} " in printed
    # Untracked, a training has an id all the same.
    assert f"run id {read_json(Path('runs/a/seed_0/seed.json'))['id']}" in printed


@pytest.mark.parametrize(("algo", "problem"), zip(["oracle", "myopic", "random"], PROBLEMS, strict=True))
def test_baselines_train_too(train: Train, capsys: pytest.CaptureFixture[str], problem: str, algo: str) -> None:
    code, printed = train(*SMOKE, f"env={problem}", f"algo={algo}", "name=a")
    assert code == 0, printed
    assert main(["evaluate", "checkpoint=a", "users=20", "baselines=[]", "tracking=off"]) == 0
    assert algo in capsys.readouterr().out


def test_a_finished_run_has_nothing_left_to_train_and_can_be_extended(train: Train) -> None:
    assert train(*SMOKE, "name=a")[0] == 0
    seed = Path("runs/a/seed_0")
    first = read_json(seed / "checkpoints/last.json")["steps"]
    code, printed = train("resume=a")
    assert code == 0
    assert f"seed_0: nothing left to train: {first:,} of 2,000 steps" in printed
    assert "20 fresh users" in printed
    Path("runs").rename("elsewhere")  # all that a continuation needs is in the run's folder
    code, printed = train("resume=elsewhere/a", "steps=4000")
    assert code == 0
    assert f"seed_0: continues from {first:,} of 4,000 steps" in printed
    assert read_json("elsewhere" / seed.relative_to("runs") / "checkpoints/last.json")["steps"] >= 4000
    # The next continuation knows of it.
    assert "of 4,000 steps" in train("resume=elsewhere/a")[1]


@pytest.mark.slow
def test_an_extended_run_is_that_of_its_whole_length_where_schedules_agree(train: Train) -> None:
    constant = (*SMOKE, "algo.lr_schedule=constant", "algo.epsilon_initial=0.3", "algo.epsilon_final=0.3")
    assert train(*constant, "name=short", "algo.learning_starts=100")[0] == 0
    assert train("resume=short", "steps=4000")[0] == 0
    assert train(*constant, "name=whole", "algo.learning_starts=100", "steps=4000")[0] == 0
    last = [Path("runs", name, "seed_0/checkpoints") for name in ("short", "whole")]
    short, whole = (read_bundle(folder / read_json(folder / "last.json")["path"]).tensors for folder in last)
    assert all((short[name] == whole[name]).all() for name in whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resume=nothing"], "resume='nothing' was not found"),
        (["resume=a", "algo.lr=1e-3"], "algo.lr: a continued run keeps its algo.lr"),
        (["resume=a", "env=interest_exploration"], "env=interest_exploration: a continued run keeps its env"),
        (["resume=a", "seed=4"], "seed: a continued run keeps its seed"),
        (["resume=a", "resources.users_per_runner=3"], "resources.users_per_runner: a continued run keeps"),
        (["resume=a", "resources.env_runners=900"], "need 901 CPUs"),
        (["resume=a", "checkpoint.evry=3"], "checkpoint.evry is unknown. Did you mean"),
        (["resume=a", "steps=many"], "steps=many: an integer is expected"),
        ([*SMOKE, "name=a"], "exists; take another name, or continue it by resume=a"),
    ],
)
def test_refusals_take_one_line(train: Train, words: list[str], message: str) -> None:
    run = Path("runs/a")
    run.mkdir(parents=True)
    code, config = 0, run / "config.yaml"
    config.write_text(composed(*SMOKE, "resources=laptop"))
    (run / "run.json").write_text("{}")
    code, printed = train(*words)
    assert code == 2
    assert message in printed
    assert len(printed.strip().splitlines()) == 1


def composed(*words: str) -> str:
    from recsys_cli.config.compose import compose

    return compose("train", words).to_yaml()


def test_a_failing_trial_is_reported_in_one_line(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> dict[str, float]:
        raise MemoryError("you tried to allocate 4 TB")

    monkeypatch.setattr("recsys_cli.runs.seed.SeedTraining._train", fail)
    code, printed = train("debug=smoke", "resources=inline", "progress=plain", "name=a")
    assert code == 1
    failed = [line for line in printed.splitlines() if line.startswith("seed_0 failed: ")]
    assert len(failed) == 1 and failed[0].endswith("error.txt")
    assert "Traceback" not in printed
    seed = read_json(Path("runs/a/seed_0/seed.json"))
    assert seed["status"] == "failed"
    from recsys_cli.tracking.mlflow_client import connect

    assert connect(f"sqlite:///{Path.cwd()}/runs/mlflow.db").get_run(seed["mlflow_run_id"]).info.status == "FAILED"


def test_metrics_known_to_a_checkpoint_alone_are_reported_on_resuming(train: Train) -> None:
    assert train(*SMOKE, "name=a", "steps=1000")[0] == 0
    journal = Path("runs/a/seed_0/metrics.jsonl")
    rows = read_jsonl(journal)
    journal.write_text("")  # as after a kill between the checkpoint and its report
    assert train("resume=a")[0] == 0
    assert read_jsonl(journal)[-1]["metrics"] == rows[-1]["metrics"]


def test_a_seed_that_follows_another_in_one_process_is_as_if_alone(train: Train) -> None:
    assert train(*SMOKE, "name=both", "seeds=2")[0] == 0
    assert train(*SMOKE, "name=alone", "seed=1")[0] == 0
    policies = [last_policy(Path("runs") / seed) for seed in ("both/seed_0", "both/seed_1", "alone/seed_1")]
    assert policies[1] == policies[2]
    assert policies[0] != policies[1]


def last_policy(seed: Path) -> bytes:
    """Return the file of a seed's last policy."""
    pointer = read_json(seed / "checkpoints/last.json")
    return (seed / "checkpoints" / pointer["path"] / "policy.safetensors").read_bytes()
