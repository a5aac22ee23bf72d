"""`recsys train data=...`: every algorithm that learns from logs, judged on held-out episodes, played only if asked."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from running import Recsys, policy_bytes, read

from recsys_cli.config import catalog
from recsys_cli.config.structured import load, schema_of
from recsys_cli.offline.writer import Writer

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))

from logs import played

INLINE = ("resources=inline", "debug=smoke", "tracking=off", "progress=plain")
ON = {"tabular_q": "long_term_satisfaction", "greedy_pctr": "interest_exploration", "myopic": "interest_exploration"}
LEARNERS = [
    name
    for name in catalog.option_names("algo")
    if "data" in schema_of(catalog.target(catalog.option_path("algo", name))).learns_from  # type: ignore[attr-defined]
]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small random log of each problem."""
    folder = tmp_path_factory.mktemp("logs")
    for name in catalog.option_names("env"):
        env = load("env", name)
        writer = Writer(folder / name, env.spec, {"behaviour": "random"})
        writer.write(played(env, 120))
        writer.finish()
    return folder


@pytest.fixture
def here(data: Path, tmp_path: Path) -> Recsys:
    """`recsys` in a folder where the logs are `data/<problem>`."""
    (tmp_path / "data").symlink_to(data)
    return Recsys(tmp_path)


def journal(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["metrics"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("algo", LEARNERS)
def test_every_learner_learns_from_a_log_and_continues_to_the_bit(algo: str, here: Recsys) -> None:
    log = f"data={ON.get(algo, 'interest_evolution')}"
    whole = here.here("train", f"algo={algo}", log, *INLINE, "name=whole", "checkpoint.keep=9")
    assert whole.code == 0, whole.err
    seed = here.folder / "runs" / "whole" / "seed_0"
    assert "from the log" in whole.out
    assert read(seed / "seed.json")["status"] == "finished"
    reported = journal(seed)
    assert not any(name.startswith("eval/") for row in reported for name in row)  # nothing was played
    assert "ope/return" in reported[-1], whole.err
    assert read(seed / "checkpoints" / "best.json")["return"] == max(
        row["ope/return"] for row in reported if "ope/return" in row
    )
    policy = policy_bytes(seed)
    rewind(seed)
    again = here.here("train", "resume=whole")
    assert again.code == 0, again.err
    assert policy_bytes(seed) == policy


def rewind(seed: Path) -> None:
    """Take a seed back to its first checkpoint, as if it had been killed just after."""
    first, *later = sorted((seed / "checkpoints").glob("step_*"))
    for folder in later:
        shutil.rmtree(folder)
    pointer = {"path": first.name, "steps": int(first.name.removeprefix("step_"))}
    (seed / "checkpoints" / "last.json").write_text(json.dumps(pointer))
    (seed / "checkpoints" / "best.json").unlink()
    about = read(seed / "seed.json")
    (seed / "seed.json").write_text(json.dumps({**about, "status": "stopped"}))


def test_a_simulator_is_only_played(here: Recsys) -> None:
    words = ("train", "algo=linucb", "data=interest_evolution", *INLINE, "evaluation.baselines=[random]")
    with_env = here.here(*words, "env=interest_evolution", "name=with")
    assert with_env.code == 0, with_env.err
    assert here.here(*words, "name=without").code == 0
    seeds = [here.folder / "runs" / name / "seed_0" for name in ("with", "without")]
    assert policy_bytes(seeds[0]) == policy_bytes(seeds[1])
    assert {"eval/return", "ope/return"} <= set(journal(seeds[0])[-1])
    assert "20 fresh users, greedy" in with_env.out
    evaluated = here.here(
        "evaluate", "checkpoint=with/seed_0", "users=5", "baselines=[]", "env.num_candidates=12", "log=false"
    )
    assert evaluated.code == 0, evaluated.err
    refused = here.here("evaluate", "checkpoint=without/seed_0")
    assert refused.code == 2
    assert "cannot be played: judge it with recsys ope" in refused.err


def test_patience_ends_a_training_and_its_best_checkpoint_is_judged(here: Recsys) -> None:
    words = ("algo=slateq", "algo.lr=1e-12", "data=interest_evolution", "env=interest_evolution", *INLINE)
    more = (
        "steps=30000",
        "evaluation.patience=2",
        "evaluation.baselines=[]",
        "name=run",
    )  # so slow that nothing changes
    outcome = here.here("train", *words, *more)
    assert outcome.code == 0, outcome.err
    seed = here.folder / "runs" / "run" / "seed_0"
    last, best = (read(seed / "checkpoints" / f"{alias}.json")["steps"] for alias in ("last", "best"))
    assert last // 1000 - best // 1000 == 2
    assert read(seed / "seed.json")["status"] == "finished"
    assert read(seed / "evaluation.json")["steps"] == best


def test_what_a_run_learned_from_may_not_be_gone(here: Recsys, data: Path) -> None:
    shutil.copytree(data / "interest_evolution", here.folder / "log")
    assert here.here("train", "algo=linucb", "data=log", *INLINE, "name=run", "steps=1000").code == 0
    (here.folder / "log").rename(here.folder / "moved")
    outcome = here.here("train", "resume=run", "steps=2000")
    assert outcome.code == 2
    assert "is no data set" in outcome.err
    assert "Train it again" not in outcome.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("algo=dqn", "data=interest_evolution"), "algo=dqn learns by playing only"),
        (("algo=linucb", "data=interest_evolutio"), "Did you mean 'interest_evolution'?"),
        (("algo=linucb", "data="), "is no data set"),
        (
            ("algo=linucb", "data=interest_evolution", "env=long_term_satisfaction"),
            "evaluate on the problem that was logged",
        ),
        (
            ("algo=linucb", "data=interest_evolution", "env.num_candidates=12"),
            "evaluate on the problem that was logged",
        ),
    ],
)
def test_bad_requests_are_one_line(words: tuple[str, ...], says: str, here: Recsys) -> None:
    outcome = here.here("train", *words)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (here.folder / "runs").exists()


def test_a_log_of_too_few_episodes_is_refused(tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    writer = Writer(tmp_path / "data" / "tiny", env.spec, {"behaviour": "random"})
    writer.write(played(env, 4))
    writer.finish()
    outcome = Recsys(tmp_path).here("train", "algo=linucb", "data=tiny", *INLINE)
    assert outcome.code == 2
    assert "has 4 episodes; at least 10 are needed" in outcome.err


def test_a_narrow_log_is_named_before_anything_is_learned(tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    writer = Writer(tmp_path / "data" / "certain", env.spec, {"behaviour": "myopic"})
    writer.write(played(env, 20, policy=load("algo", "myopic").make_policy(env.spec)))
    writer.finish()
    outcome = Recsys(tmp_path).here("train", "algo=myopic", "data=certain", *INLINE)
    assert outcome.code == 0, outcome.err
    assert "recsys: data=certain is narrow: 100 % of its slates were certain" in outcome.err
