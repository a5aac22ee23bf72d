"""Recording: every user once, exact propensities, the same data however often the writer is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.cli import main
from recsys_cli.config import notices, structured
from recsys_cli.config.explore import Explore
from recsys_cli.evaluation.behaviour import Behaviour, behaviour_of
from recsys_cli.offline import recording
from recsys_cli.offline.dataset import MANIFEST, Dataset
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy
from recsys_cli.tracking.bundle import write_bundle


def behaviour(algo: str = "random", explore: str = "none", env: str = "interest_evolution", **keys: Any) -> Behaviour:
    """Return an algorithm that has nothing to learn, on a problem."""
    return Behaviour.untrained(
        structured.load("algo", algo), structured.load("env", env, **keys), Explore.parse(explore)
    )


def recorded(folder: Path, by: Behaviour, episodes: int = 30, seed: int = 0, policy: Any = None) -> Dataset:
    """Record into a folder."""
    writer = Writer(folder, by.env.spec, by.about())
    by.keep(folder)
    return recording.record(writer, policy or by.acting, by.env, episodes=episodes, seed=seed)


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_every_user_plays_one_whole_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_LOCKSTEP_USERS", 16)
    dataset = recorded(tmp_path / "log", behaviour(slate_size=3), episodes=40)
    steps = dataset.load()
    assert [part.episodes for part in dataset.parts] == [13, 13, 14]
    assert (steps.episode[steps.starts] == np.arange(40)).all()
    assert all((steps.step[start : start + n] == np.arange(n)).all() for start, n in zip(steps.starts, steps.lengths))  # noqa: B905
    ends = steps.starts + steps.lengths - 1
    assert steps.terminated[ends].all()
    assert steps.terminated.sum() == 40
    assert steps.valid.all()
    assert len(np.unique(steps.user[steps.starts], axis=0)) == 40, "users of different rounds are different"


def test_a_truncated_episode_ends_with_its_last_observation(tmp_path: Path) -> None:
    by = behaviour(env="interest_exploration", horizon=7, slate_size=2)
    steps = recorded(tmp_path / "log", by, episodes=20).load()
    assert (steps.lengths == 8).all()
    assert steps.num_steps == 140
    last = steps.starts + 7
    assert not steps.valid[last].any()
    assert (steps.slate[last] == -1).all()
    assert (steps.reward[last] == 0).all()
    assert (steps.clicked[last] == 2).all()
    assert (steps.following()[last - 1] == last).all()
    assert steps.truncated[last - 1].all()
    assert not steps.terminated.any()
    assert (steps.doc[last] != steps.doc[last - 1]).any(axis=(1, 2)).all(), "a new observation"


def test_rewards_and_responses_belong_together(tmp_path: Path) -> None:
    steps = recorded(tmp_path / "log", behaviour(slate_size=3)).load()
    clicks = steps.clicks()
    watched = (steps.response["watch_time"] * clicks).sum(1)
    np.testing.assert_array_equal(steps.reward, watched)
    assert 0 < clicks.sum() < len(steps)
    shown = np.take_along_axis(steps.doc, steps.slate.astype(np.int64), axis=1)
    np.testing.assert_array_equal(steps.response["cluster_id"], shown)
    # The user's interests move only after a click: what was recorded before a step is from before it.
    same = (steps.user[1:] == steps.user[:-1]).all(1) & (steps.episode[1:] == steps.episode[:-1])
    inside = steps.episode[1:] == steps.episode[:-1]
    assert not (same & (clicks[:-1].sum(1) > 0)).any()
    assert (same | (clicks[:-1].sum(1) > 0))[inside].all()


def untrained_slateq(folder: Path, **keys: Any) -> Path:
    """Write a checkpoint of a SlateQ policy with memory that has learned nothing."""
    env = structured.load("env", "interest_evolution", **keys)
    algo = structured.load("algo", "slateq", memory="raw")
    config = {"env": structured.to_plain(env), "algo": structured.to_plain(algo)}
    tensors = algo.make_policy(env.spec).tensors()
    write_bundle(folder, config=config, spec=env.spec, policy_state=tensors, info={"steps": 0})
    return folder


CASES: dict[str, Callable[[Path], Behaviour]] = {
    "uniform": lambda folder: behaviour(slate_size=3),
    "epsilon": lambda folder: behaviour("myopic", "epsilon:0.3", slate_size=3),
    "plackett_luce": lambda folder: behaviour("myopic", "plackett_luce:0.5", slate_size=3),
    "dense, varying": lambda folder: behaviour(env="long_term_satisfaction", num_candidates=[1, 5], slate_size=3),
    "checkpoint with memory": lambda folder: Behaviour.of_checkpoint(
        untrained_slateq(folder, num_candidates=[2, 8], slate_size=3), Explore.parse("plackett_luce:1.0"), {}
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_propensities_are_those_of_the_policy_that_the_data_set_holds(case: str, tmp_path: Path) -> None:
    by = CASES[case](tmp_path / "bundle")
    dataset = recorded(tmp_path / "log", by)
    again = behaviour_of(dataset)
    assert again is not None
    steps = dataset.load().remembering(again.new_memory)
    steps = steps.take(np.flatnonzero(steps.valid))
    law = again.distribution(steps.observation())
    assert steps.log_propensity is not None
    np.testing.assert_allclose(steps.log_propensity, law.position_log_prob(steps.slate), atol=2e-5)
    assert (steps.log_propensity[steps.slate >= 0] <= 0).all()
    assert case == "uniform" or steps.log_propensity.std() > 0.1


def test_uniform_propensities(tmp_path: Path) -> None:
    steps = recorded(tmp_path / "log", behaviour(slate_size=3)).load()
    assert steps.log_propensity is not None
    np.testing.assert_allclose(steps.log_propensity, np.broadcast_to(-np.log([10, 9, 8]), (len(steps), 3)), rtol=1e-6)


class Interrupted(SlatePolicy):
    """A policy whose process dies in the middle of a round."""

    def __init__(self, policy: SlatePolicy, calls: int) -> None:
        self.policy, self.slate_size, self.calls = policy, policy.slate_size, calls

    def distribution(self, observation: Any) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.policy.distribution(observation)


def test_an_interrupted_recording_continues_to_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_LOCKSTEP_USERS", 8)
    by = behaviour("myopic", "epsilon:0.4", slate_size=2)
    recorded(tmp_path / "whole", by)
    sizes = []
    while True:
        try:
            recorded(tmp_path / "killed", by, policy=Interrupted(by.acting, 150))
            break
        except KeyboardInterrupt:
            sizes.append(len(Dataset.open(tmp_path / "killed", unfinished=True).parts))
    assert len(set(sizes)) > 1
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert digests(tmp_path / "whole") != digests(recorded(tmp_path / "other", by, seed=1).folder)


def test_the_command_says_what_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notices, "_said", set())  # each is said once a process

    def said(*words: str, code: int) -> str:
        assert main(["record", "progress=off", *words]) == code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return captured.out + captured.err

    assert "data/log: 20 episodes" in said("name=log", "episodes=20", code=0)
    assert "data set data/log is complete" in said("name=log", "episodes=20", code=2)
    assert "certain of its slates" in said("name=greedy", "episodes=5", "algo=myopic", code=0)
    assert "checkpoint=<run id>" in said("name=new", "algo=slateq", code=2)
    assert "name is required" in said("episodes=20", code=2)
    assert "has its own algo" in said("name=new", "checkpoint=x", "algo=random", code=2)
    assert "needs a posterior" in said("name=posterior", "episodes=5", "explore=thompson", code=2)
    assert "name=a/b" in said("name=a/b", code=2)
    folder = untrained_slateq(tmp_path / "bundle")
    words = (
        "name=from_checkpoint",
        f"checkpoint={folder}",
        "explore=epsilon:0.5",
        "env.num_candidates=6",
        "episodes=5",
    )
    said(*words, code=0)
    dataset = Dataset.open(tmp_path / "data" / "from_checkpoint")
    assert dataset.spec.num_candidates == 6
    assert dataset.about["env"]["num_candidates"] == 6
    assert behaviour_of(dataset) is not None
    Writer(tmp_path / "data" / "begun", dataset.spec, dataset.about)
    assert "begun with another" in said("name=begun", "episodes=20", code=2)
    (tmp_path / "data" / "mine").mkdir()
    (tmp_path / "data" / "mine" / "notes.txt").write_text("keep me")
    assert "is not empty" in said("name=mine", code=2)


def test_a_policy_known_by_draws_logs_no_propensities(tmp_path: Path) -> None:
    env = structured.load("env", "interest_exploration", horizon=5)
    algo = structured.load("algo", "lints")
    by = Behaviour("lints", algo.make_policy(env.spec), env, Explore.parse("thompson"), None, algo, 0)
    steps: Steps = recorded(tmp_path / "log", by, episodes=5).load()
    assert steps.log_propensity is None
    assert "no propensities" in " ".join(by.warnings())


def test_an_oracle_cannot_be_asked_about_its_log(tmp_path: Path) -> None:
    dataset = recorded(tmp_path / "log", behaviour("oracle", "epsilon:0.5", "long_term_satisfaction"), episodes=5)
    assert dataset.load().log_propensity is not None
    assert behaviour_of(dataset) is None


@pytest.mark.slow
def test_kill_9_while_writing(tmp_path: Path) -> None:
    words = ["record", "episodes=12000", "env.slate_size=3", "explore=epsilon:0.5", "progress=off"]
    command = [sys.executable, "-m", "recsys_cli", *words]
    subprocess.run([*command, "name=whole"], cwd=tmp_path, check=True, capture_output=True)
    folder, kills = tmp_path / "data" / "killed", 0
    while not ((folder / MANIFEST).is_file() and Dataset.open(folder, unfinished=True).complete):
        there = len(list(folder.glob("part-*")))
        process = subprocess.Popen([*command, "name=killed"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(folder.glob("part-*"))) < there + 1:
            time.sleep(0.005)
        time.sleep(0.1 * kills)  # in the middle of the next one
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    assert digests(folder) == digests(tmp_path / "data" / "whole")
