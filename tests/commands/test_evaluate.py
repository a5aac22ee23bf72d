"""`recsys evaluate` on a trained run: every way to name it, changed envs, and that it reads no pickle."""

from __future__ import annotations

import pickle
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Trained, read

from recsys_cli.cli import main
from recsys_cli.config.words import layered
from recsys_cli.tracking.mlflow_client import connect

pytestmark = pytest.mark.xdist_group("commands")

FEW = ("users=20", "baselines=[random]", "log=false")
Evaluate = Callable[..., tuple[int, str]]


@pytest.fixture
def evaluate(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """A function that runs `recsys evaluate` beside the trained run; returns exit code and what it printed."""
    monkeypatch.chdir(trained.recsys.folder)

    def run(*words: str) -> tuple[int, str]:
        code = main(["evaluate", *layered(["output_dir=my runs", *words])])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture
def results(evaluate: Evaluate, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that evaluates and returns the JSON file."""

    def run(*words: str) -> dict[str, Any]:
        code, printed = evaluate(*words, f"output={tmp_path / 'out.json'}")
        assert code == 0, printed
        return read(tmp_path / "out.json")

    return run


def test_the_next_command_works_as_printed_and_says_what_training_said(trained: Trained) -> None:
    final = read(trained.seed / "evaluation.json")
    words = shlex.split(" ".join(trained.outcome.words_after("next:")))
    outcome = trained.recsys.here(*words[1:], "users=20", "baselines=[random]")
    assert outcome.code == 0, outcome
    assert "Traceback" not in outcome.err
    again = read(trained.seed / "evaluation_again.json")
    assert again["policies"] == final["policies"]
    assert read(trained.seed / "evaluation.json") == final, "the training's own record is its own"
    assert (again["steps"], again["seed"], again["users"]) == (final["steps"], final["seed"], 20)
    rows = [line for line in trained.outcome.out.splitlines() if line.startswith(("slateq ", "random "))]
    assert all(row.rstrip() in outcome.out for row in rows)
    assert "logged to the run as evaluation_again.json" in outcome.out


@pytest.mark.parametrize("alias", ["", "/best", "/last"])
@pytest.mark.parametrize("kind", ["name", "mlflow id", "local id", "path", "seed's path"])
def test_every_reference_finds_the_checkpoint(
    trained: Trained, results: Callable[..., dict[str, Any]], kind: str, alias: str
) -> None:
    about = read(trained.seed / "seed.json")
    names = {"name": "whole", "mlflow id": about["mlflow_run_id"], "local id": about["id"]}
    names |= {"path": "my runs/whole", "seed's path": "my runs/whole/seed_0"}
    found = results(f"checkpoint={names[kind]}{alias}", *FEW)
    pointer = read(trained.seed / "checkpoints" / f"{alias.strip('/') or 'best'}.json")
    assert found["checkpoint"] == str(trained.seed / "checkpoints" / pointer["path"])
    assert found["steps"] == pointer["steps"]


def test_json_says_everything(results: Callable[..., dict[str, Any]]) -> None:
    found = results("checkpoint=whole/last", "users=20", "baselines=[random,myopic,oracle]", "log=false")
    assert list(found["policies"]) == ["slateq", "random", "myopic", "oracle"]
    assert found["env"]["num_candidates"] == 10
    for score in found["policies"].values():
        assert {"episode_length", "clicks_per_step", "watch_time", "quality_per_click"} <= set(score)
        assert score["return"]["low"] < score["return"]["mean"] < score["return"]["high"]
        assert score["return"]["n"] == 20
    other = results("checkpoint=whole/last", *FEW, "seed=7")
    assert other["policies"]["slateq"] != found["policies"]["slateq"]


def test_the_returns_of_every_user_are_kept(
    trained: Trained, results: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = results("checkpoint=whole/last", *FEW)
    for folder, summary in ((trained.seed, read(trained.seed / "evaluation.json")), (tmp_path, found)):
        returns = dict(np.load(next(folder.glob("*.npz"))))
        assert list(returns) == list(summary["policies"]) == ["slateq", "random"]
        for policy, by_user in returns.items():
            assert by_user.shape == (20,)
            assert summary["policies"][policy]["return"]["mean"] == pytest.approx(by_user.mean())
        difference = (returns["slateq"] - returns["random"]).mean()
        assert summary["differences"]["random"]["mean"] == pytest.approx(difference)
    artifacts = connect(f"sqlite:///{trained.run_dir.parent / 'mlflow.db'}").list_artifacts(trained.run_id)
    assert "evaluation.npz" in {item.path for item in artifacts}


@pytest.mark.parametrize(
    "changes",
    [{"num_candidates": 50}, {"slate_size": 3}, {"backend": "recsim"}, {"num_candidates": 5, "slate_size": 5}],
)
def test_the_env_may_change(
    trained: Trained, evaluate: Evaluate, results: Callable[..., dict[str, Any]], changes: dict[str, Any]
) -> None:
    words = [f"env.{key}={value}" for key, value in changes.items()]
    found = results("checkpoint=whole/last", *FEW, *words)
    assert {key: found["env"][key] for key in changes} == changes
    assert found["policies"]["slateq"]["return"]["mean"] > 50
    before = (trained.seed / "evaluation.json").read_bytes()
    name = "_".join(["evaluation", *(f"{key}-{value}" for key, value in changes.items())]) + ".json"
    assert evaluate("checkpoint=whole/last", *FEW, *words)[0] == 0
    assert read(trained.seed / name) == found
    assert (trained.seed / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (["checkpoint=whole/last", "users=7", "baselines=[random]"], "users-7"),
        (["checkpoint=whole/last", "users=20", "baselines=[random]", "seed=5"], "seed-5"),
        (["checkpoint=whole/seed_0/checkpoints/FIRST", "users=20", "baselines=[random]"], "steps-STEPS"),
        (["checkpoint=whole/last", "users=20", "baselines=[]"], "baselines-none"),
        (["checkpoint=whole/last", "users=20", "baselines=[myopic]"], "baselines-myopic"),
    ],
)
def test_the_runs_own_evaluation_is_not_overwritten(
    trained: Trained, evaluate: Evaluate, words: list[str], differs: str
) -> None:
    first = min((trained.seed / "checkpoints").glob("step_*"))
    words = [word.replace("whole/seed_0/checkpoints/FIRST", str(first)) for word in words]
    before = (trained.seed / "evaluation.json").read_bytes()
    code, printed = evaluate(*words, "log=false")
    assert code == 0, printed
    assert (trained.seed / "evaluation.json").read_bytes() == before
    name = differs.replace("STEPS", str(int(first.name.removeprefix("step_"))))
    assert (trained.seed / f"evaluation_{name}.json").is_file()


@pytest.mark.parametrize("explore", ["epsilon:0.5", "plackett_luce:3"])
def test_a_policy_may_explore(trained: Trained, evaluate: Evaluate, explore: str) -> None:
    before = read(trained.seed / "evaluation.json")
    code, printed = evaluate("checkpoint=whole/last", *FEW, f"explore={explore}")
    assert code == 0 and f"explore={explore}" in printed
    found = read(trained.seed / f"evaluation_explore-{explore.replace(':', '-')}.json")
    assert (found["explore"], before["explore"]) == (explore, "none")
    assert found["policies"][f"slateq {explore}"] != before["policies"]["slateq"]
    assert found["policies"]["random"] == before["policies"]["random"], "baselines do as always"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=whole", "env.num_topics=8"], "env changes {'num_topics': 8}: the checkpoint's parameters do not"),
        (["checkpoint=whole", "env.slate_size=30"], "env.slate_size=30 must be <= env.num_candidates=10"),
        (["checkpoint=whole", "env.num_candidate=50"], "env.num_candidate is unknown"),
        (["checkpoint=whole", "algo.lr=1"], "algo.lr is unknown"),
        (["checkpoint=nothing"], "'nothing'"),
        (["checkpoint=whole/step_5"], "step_5"),
        (["checkpoint=whole", "users=0"], "users=0 must be at least 1"),
        (["checkpoint=nothing", "explore=epsilon:1.5"], "explore=epsilon:1.5: the probability of a random slate must"),
        (["checkpoint=nothing", "explore=epsilon"], "explore=epsilon: epsilon takes a number; allowed: none, epsilon:"),
        (["checkpoint=nothing", "explore=epsilom:0.1"], "allowed: none, epsilon:<probability>, plackett_luce:<tempera"),
        (["checkpoint=nothing", "explore=plackett_luce:0"], "the temperature must be finite and above 0"),
        ([], "checkpoint is required"),
    ],
)
def test_refusals_take_one_line(evaluate: Evaluate, words: list[str], message: str) -> None:
    code, printed = evaluate(*words)
    assert code == 2
    assert message in printed
    assert len(printed.strip().splitlines()) == 1


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path("trapped"),)


def test_a_malicious_pickle_is_never_read(trained: Trained, evaluate: Evaluate, tmp_path: Path) -> None:
    pointer = read(trained.seed / "checkpoints" / "last.json")
    bundle = tmp_path / "bundle"
    shutil.copytree(trained.seed / "checkpoints" / pointer["path"], bundle)
    trap = pickle.dumps(Trap())
    pickles = list(bundle.rglob("*.pkl"))
    assert pickles
    for path in [*pickles, bundle / "policy.pkl"]:
        path.write_bytes(trap)
    code, printed = evaluate(f"checkpoint={bundle}", *FEW)
    assert code == 0, printed
    assert not Path("trapped").exists()
    pickle.loads(trap)
    assert Path("trapped").exists()  # the trap works
    Path("trapped").rmdir()


def test_numbers_become_metrics_of_the_run(trained: Trained, evaluate: Evaluate) -> None:
    code, printed = evaluate("checkpoint=whole/last", "users=20", "baselines=[random]", "env.num_candidates=20")
    assert code == 0
    assert "logged to the run as evaluation_num_candidates-20.json" in printed
    run = connect(f"sqlite:///{trained.run_dir.parent / 'mlflow.db'}").get_run(trained.run_id)
    found = read(trained.seed / "evaluation_num_candidates-20.json")
    key = "evaluation_num_candidates-20/return"
    assert run.data.metrics[key] == found["policies"]["slateq"]["return"]["mean"]
    assert run.info.status == "FINISHED"
