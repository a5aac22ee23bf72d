"""Drift of requests: silent on what the policy was trained on, loud on what it was not, and cheap."""

import itertools
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from serving.service_logs import bundle_of, env_of, service_of

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import NOT_EXPLORING
from recsys_cli.envs.profile import BINS, Profile, binned, names_of, rows_of
from recsys_cli.offline.problem import LoggedProblem
from recsys_cli.offline.recording import record
from recsys_cli.offline.writer import Writer
from recsys_cli.serving import drift
from recsys_cli.serving.drift import Drift, Following, Report, Shifted, played, profile_of
from recsys_cli.serving.messages import RankRequest
from recsys_cli.serving.model import Model
from recsys_cli.tracking.bundle import TENSORS, read_bundle, write_bundle


@dataclass
class Body:
    requests: list[RankRequest]
    user: np.ndarray
    doc: np.ndarray
    mask: np.ndarray


@pytest.fixture(scope="module")
def problem():
    config = compose("train", ["env=interest_evolution", "algo=random", "env.num_candidates=[5,20]"])
    policy = config.algo.make_policy(config.env.spec, 0)
    return config.env, policy, played(config.env, policy)


@pytest.fixture
def clock(monkeypatch):
    """A clock that passes a second whenever it is looked at, so that nothing is left out or cached."""
    seconds = itertools.count(1000.0, 3.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(drift, "warn", lines.append)
    return lines


def bodies(env, policy, users=200, seed=7, change=lambda user: user):
    """Yield what users send, step by step, in sessions of theirs."""
    vec, rng = env.make_vec(users), np.random.default_rng(seed)
    observation, _ = vec.reset(seed=seed)
    session, ended = np.arange(users), np.zeros(users, bool)
    while True:
        on = ~ended
        requests = [RankRequest(candidates=[], session=f"s{number}") for number in session[on]]
        user = change(observation["user"][on])
        mask = observation.get("mask", np.ones(observation["doc"].shape[:2], bool))
        yield Body(requests, user, observation["doc"][on], mask[on])
        observation, _, terminated, truncated, _ = vec.step(policy.distribution(observation).sample(rng))
        session = session + ended * users
        ended = terminated | truncated


def test_no_alarm_on_a_hundred_windows_of_the_same_users(problem, clock, said, monkeypatch):
    env, policy, profile = problem
    monkeypatch.setattr(drift, "A_SECOND", 10_000)
    monkeypatch.setattr(drift, "LOOK_EVERY", 2000)
    watch, alarms, indices = Drift(profile, env.spec, "slateq"), [], []
    for body in itertools.islice(bodies(env, policy, users=400), 500):
        watch.see(body, np.arange(len(body.user)))
        if watch._seen // 2000 > len(alarms):
            report = watch.report()
            alarms.append(report.alarm)
            indices.append(report.drift)
    assert len(alarms) >= 95 and not any(alarms) and not said
    assert max(indices) < 0.2 and watch.report().independent < 2000  # the same users again and again


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_alarm_on_other_users_names_them_once(problem, clock, said, monkeypatch, shift):
    env, policy, profile = problem
    monkeypatch.setattr(drift, "A_SECOND", 10_000)
    watch = Drift(profile, env.spec, "slateq")

    def other(user):
        return np.concatenate([user[:, :3], np.clip(user[:, 3:4] + shift, -1, 1), user[:, 4:]], axis=1)

    for body in itertools.islice(bodies(env, policy, users=500, change=other), 20):
        watch.see(body, np.arange(len(body.user)))
    report = watch.report()
    assert report.alarm and report.worst[0].feature == "user 3" and report.worst[0].shift * shift > 0
    assert report.drift > drift.LIMIT > report.worst[1].drift
    assert len(said) == 1 and "by user 3:" in said[0]
    assert report.to_dict()["worst"][0]["feature"] == "user 3"


def test_few_users_are_no_alarm_however_many_requests(problem, clock, said, monkeypatch):
    env, policy, profile = problem
    monkeypatch.setattr(drift, "A_SECOND", 10_000)
    watch = Drift(profile, env.spec, "slateq")
    for body in itertools.islice(bodies(env, policy, users=5), 400):
        watch.see(body, np.arange(len(body.user)))
    report = watch.report()
    assert report.independent < drift.FEWEST <= report.requests and not report.alarm and report.drift == 0.0


def test_load_is_sampled_and_costs_little(problem):
    env, policy, profile = problem
    watch, body = Drift(profile, env.spec, "slateq"), next(bodies(env, policy, users=64))
    watch.see(body, np.arange(len(body.user)))
    single = Body(body.requests[:1], body.user[:1], body.doc[:1], body.mask[:1])
    first, start = np.zeros(1, int), time.thread_time()
    for _ in range(20_000):
        watch.see(single, first)
    assert (time.thread_time() - start) / 20_000 < 5e-6
    assert watch._seen < 20_000 / 10


def test_shown_features_are_any_present_candidate(problem):
    env = problem[0]
    user, doc = np.zeros((1000, 20), np.float32), np.zeros((1000, 4, 20), np.float32)
    doc[:] = np.arange(4, dtype=np.float32)[:, None]
    mask = np.tile([True, False, True, True], (1000, 1))
    rows = rows_of(env.spec, user, doc, mask, np.random.default_rng(0))
    assert sorted(np.unique(rows[:, 20])) == [0, 2, 3] and set(rows[:, -1]) == {3}
    assert rows.shape[1] == len(names_of(env.spec)) == 41


def test_bins_of_few_and_of_many_values():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(size=5000), rng.random(5000) < 0.95, np.ones(5000), rng.integers(0, 15, 5000)])
    profile = Profile.of(rows.astype(np.float32), 5000)
    assert np.allclose(profile.shares[0], 0.1, atol=0.001)
    assert sorted(profile.shares[1][profile.shares[1] > 0]) == pytest.approx([0.05, 0.95], abs=0.01)
    assert list(profile.shares[2]) == [1] + [0] * (BINS - 1)
    assert (profile.shares[3] > 0.05).all()
    index, alarm = drift.compared(np.float32([[0.5, 0, 2, 20]] * 100), profile, 100)
    assert alarm[[0, 1, 3]].all() and index[2] == 0  # a constant has one bin: its value is checked by the bounds
    assert binned(rows[:0], profile.edges).sum() == 0


def model(folder):
    """A policy, as far as it is looked at."""
    return SimpleNamespace(folder=folder)


def test_profile_is_kept_in_a_bundle(tmp_path, problem):
    env, policy, profile = problem
    parts = {"config": {}, "spec": env.spec, "info": {"steps": 1}}
    write_bundle(tmp_path / "with", policy_state=policy.tensors(), profile=profile, **parts)
    kept = profile_of(model(tmp_path / "with"))  # the simulator is not asked: this bundle has no config of one
    assert np.allclose(kept.edges, profile.edges) and np.allclose(kept.shares, profile.shares, atol=1e-6)
    assert kept.episodes == profile.episodes and read_bundle(tmp_path / "with").tensors == {}
    other = compose("train", ["env=long_term_satisfaction", "algo=random"]).env.spec
    write_bundle(tmp_path / "other", policy_state={}, profile=profile, **{**parts, "spec": other})
    with pytest.raises(ConfigError, match=rf"damaged: {TENSORS}: a profile .* \[2, 22\], not \[41, 22\]"):
        read_bundle(tmp_path / "other")


def test_bundle_without_simulator_has_no_profile(tmp_path, problem):
    env = problem[0]
    config = {"env": {"_target_": "gone.Gone", "name": "gone"}, "algo": {"_target_": "gone.Gone", "name": "gone"}}
    write_bundle(tmp_path / "b", config=config, spec=env.spec, policy_state={}, info={"steps": 1})
    assert profile_of(model(tmp_path / "b")) is None


def test_profile_of_a_log_is_that_of_its_problem(tmp_path, problem):
    env, policy, simulated = problem
    writer = Writer(tmp_path / "log", env.spec, {"behaviour": "random"})
    record(writer, policy, env, episodes=200, seed=3)
    logged = LoggedProblem(data=str(tmp_path / "log")).profile
    assert 100 < logged.episodes <= 200 and env.profile is None
    assert np.allclose(logged.mean, simulated.mean, atol=5 * simulated.std.max() / np.sqrt(200))
    assert np.abs(logged.shares[-1] - simulated.shares[-1]).max() < 0.02  # the number of candidates


def test_each_policy_has_a_reference_of_its_own(tmp_path):
    """Users change by what they are shown: what is usual for one policy is not for another."""
    service = service_of(tmp_path, *(bundle_of(tmp_path / algo, env_of(), algo) for algo in ("random", "myopic")))
    models = [Model.load(service.bundle(p.name, p.version), p.name, p.source, NOT_EXPLORING) for p in service.pointed()]
    statistics = SimpleNamespace(drifts={})
    following = Following(statistics, lambda: models)
    following.step()
    drifts = statistics.drifts
    assert list(drifts) == ["random", "myopic"]
    assert np.abs(drifts["random"]._profile.edges - drifts["myopic"]._profile.edges)[:20].max() > 0.1
    following.step()
    assert statistics.drifts is drifts  # nothing is played twice
    models.pop(0)
    following.step()
    assert statistics.drifts == {"myopic": drifts["myopic"]}
    joined = Report.of([Report(100, 80.0, 0.1), Report(50, 50.0, 0.3, True, (Shifted("b", "user 1", 0.3, 1.0),))])
    assert joined == Report(150, 130.0, 0.3, True, (Shifted("b", "user 1", 0.3, 1.0),)) and Report.of([]) == Report()
