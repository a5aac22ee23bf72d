"""Sessions over HTTP are, to the last reward, those that the policy plays in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from serving.servers import Running

from recsys_cli.cli import main
from recsys_cli.config.compose import compose
from recsys_cli.config.structured import load, to_plain
from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies import SlatePolicy
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.service import Service
from recsys_cli.tracking.bundle import write_bundle

SETTINGS = ("num_topics=4", "time_budget=15", "num_candidates=6", "slate_size=2")
USERS, TOGETHER, SEED = 30, 10, 5


def drawn(folder: Path, algo: str, **changes: str) -> tuple[EnvConfig, SlatePolicy]:
    """Write the bundle of a policy whose parameters are drawn, so that what is remembered changes its slates."""
    env = load("env", "interest_evolution", num_topics=4, time_budget=15.0, num_candidates=6, slate_size=2)
    config = load("algo", algo, **changes)
    low = -6 if algo == "slateq" else 0  # counts are not negative
    policy, rng = config.make_policy(env.spec, seed=1), np.random.default_rng(0)
    tensors = {n: rng.uniform(low, 6, np.shape(v)).astype(np.asarray(v).dtype) for n, v in policy.tensors().items()}
    policy.load_tensors(tensors)
    described = {"algo": to_plain(config), "env": to_plain(env)}
    write_bundle(folder, config=described, spec=env.spec, policy_state=tensors, info={"steps": 1})
    return env, policy


def played(env: EnvConfig, policy: SlatePolicy) -> list[float]:
    """Return what the users of the simulation get from the policy itself."""
    returns = []
    for first in range(0, USERS, TOGETHER):
        vec, memory, total = env.make_vec(TOGETHER), policy.new_memory(TOGETHER), np.zeros(TOGETHER)
        observation, _ = vec.reset(seed=int(np.random.SeedSequence([SEED, first]).generate_state(1)[0]))
        playing = np.ones(TOGETHER, bool)
        while playing.any():
            slates, before = policy.served(memory.extend(observation)).mode(), observation
            slates[~playing] = [0, 1]  # as in the simulation, where those who have left see the first candidates
            observation, reward, terminated, truncated, _ = vec.step(slates)
            memory.step(before, slates, observation, ~playing)
            total += reward * playing
            playing &= ~(terminated | truncated)
        returns += total.tolist()
    return returns


@pytest.mark.parametrize(
    ("algo", "changes", "sessions"),
    [
        ("slateq", {"memory": "documents"}, "client"),
        ("slateq", {"memory": "documents"}, "server"),
        ("slateq", {"memory": "none"}, "client"),
        ("ucb1", {"arms": "topics", "statistics": "per_user"}, "server"),
    ],
)
def test_returns_are_equal(algo: str, changes: dict[str, str], sessions: str, tmp_path: Path) -> None:
    env, policy = drawn(tmp_path / "bundle", algo, **changes)
    words = [f"checkpoint={tmp_path / 'bundle'}", f"service_dir={tmp_path}", "tracking=off"]
    config = compose("serve", [*words, f"serving.sessions={sessions}"])
    folder = ServiceFolder(tmp_path / config.name)
    folder.prepare(config)
    service, output = Service(folder, config), tmp_path / "results.json"
    with Running(service, config.serving) as server:
        asked = [f"serve={server.url}", f"users={USERS}", f"requests={TOGETHER}", f"seed={SEED}", f"output={output}"]
        assert main(["simulate", *asked, *(f"env.{each}" for each in SETTINGS), "progress=off"]) == 0
    service.close()
    over_http = json.loads(output.read_text())["returns"][algo]
    np.testing.assert_allclose(sorted(over_http), sorted(played(env, policy)), rtol=1e-9)
