"""Full-slate Q-learning: its values and targets by definition, what it refuses, and that it trains."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from recsys_cli.algos.full_slate_q.network import SlateValues
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import ReplayBuffer

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
SMALL = ("algo=full_slate_q", "algo.network.hidden=[8,4]", "env.num_candidates=5")


def value_by_hand(values: SlateValues, user: np.ndarray, docs: np.ndarray) -> float:
    """Put one slate through the layers as the MLP over a concatenation that they are."""
    doc_weight = values.first_doc.weight.detach().double().numpy().reshape(values.size, -1, docs.shape[1])
    hidden = values.first_user(torch.as_tensor(user)[None].float()).detach().double().numpy()[0]
    hidden = hidden + sum(weight @ doc for weight, doc in zip(doc_weight, docs, strict=True))
    rest = values.rest.double()(torch.as_tensor(hidden)[None].clone()).item() * values.scale
    values.rest.float()
    return rest


@pytest.mark.parametrize("form", ["dense", "index"])
def test_a_slates_value_is_an_mlp_of_its_documents_in_order(form: str) -> None:
    torch.manual_seed(0)
    values, rng = SlateValues(3, 6, 2, [8, 4], 5.0), np.random.default_rng(0)
    user, topic = rng.normal(size=(4, 3)).astype(np.float32), rng.integers(0, 6, (4, 5))
    dense = np.eye(6, dtype=np.float32)[topic]
    doc = torch.as_tensor(topic if form == "index" else dense)
    slates = torch.tensor(list(permutations(range(5), 2)))
    computed = values(torch.as_tensor(user), doc, slates).detach()
    assert computed.shape == (4, 20)
    for i in (0, 3):
        for j in (0, 7, 19):
            assert computed[i, j].item() == pytest.approx(value_by_hand(values, user[i], dense[i, slates[j]]), rel=1e-4)


@pytest.mark.parametrize("cascade", [True, False])
def test_the_policy_shows_the_slate_of_greatest_value(cascade: bool) -> None:
    model = {"choice_model": "exponential_cascade"} if cascade else {}
    env = load("env", "interest_evolution", num_candidates=6, slate_size=3, **model)
    policy = load("algo", "full_slate_q").make_policy(env.spec)
    observation, _ = env.make_vec(7).reset(seed=0)
    shown = policy.distribution(observation).mode()
    net: Any = policy.network
    every = torch.tensor(list((permutations if cascade else combinations)(range(6), 3)))
    with torch.no_grad():
        values = net.values(torch.as_tensor(observation["user"]), torch.as_tensor(observation["doc"]), every)
    np.testing.assert_array_equal(shown, every[values.argmax(-1)].numpy())


def test_positions_that_nobody_looks_at_hold_other_candidates() -> None:
    env = load("env", "long_term_satisfaction", num_candidates=6, slate_size=4)
    policy = load("algo", "full_slate_q").make_policy(env.spec)
    slates = policy.distribution(env.make_vec(5).reset(seed=0)[0]).mode()
    assert all(len(set(slate)) == 4 for slate in slates.tolist())


@pytest.mark.parametrize("double_q", ["true", "false"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_loss_is_the_definition(problem: str, double_q: str) -> None:
    run = compose("train", [*SMALL, f"env={problem}", f"algo.double_q={double_q}"])
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    vec = run.env.make_vec(1)
    spaces = {DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
    learner = config.build_learner(spaces=spaces)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    for parameter in module.target_values.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    collector, random = Collector(run.env, 8, seed=0), UniformPolicy(run.env.slate_size)
    replay = ReplayBuffer(1000, 1, seed=0, discount=0.9)
    replay.add(collector.collect(20, random.distribution, np.random.default_rng(0)))
    batch = {name: torch.as_tensor(column) for name, column in replay.sample(9).items()}
    computed = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID, config=config, batch=batch, fwd_out=module._forward_train(batch)
    )
    every = torch.tensor(list(combinations(range(5), module.net.attended)))
    with torch.no_grad():
        target = module.target_values(batch["next_user"], batch["next_doc"], every)
        online = module.net.values(batch["next_user"], batch["next_doc"], every)
        chosen = (online if double_q == "true" else target).argmax(1)
        errors = []
        for i in range(9):
            docs = batch["slate_doc"][i : i + 1, : module.net.attended]
            own = module.net.values(batch["user"][i : i + 1], docs, torch.arange(module.net.attended)[None]).item()
            errors.append(own - batch["reward"][i].item() - batch["bootstrap"][i].item() * target[i, chosen[i]].item())
    assert computed.item() == pytest.approx(np.square(errors).mean() / config.settings.network.scale**2, rel=1e-4)


def test_too_many_slates_are_refused_politely() -> None:
    with pytest.raises(ConfigError, match=r"makes 161,700 slates.*algo.max_slates=1000.*algo=slateq"):
        compose("train", ["algo=full_slate_q", "env.num_candidates=100", "env.slate_size=3"])
    with pytest.raises(ConfigError, match="makes 5,040 slates"):
        compose("train", ["algo=full_slate_q", "env.slate_size=4", "env.choice_model=exponential_cascade"])
    with pytest.raises(ConfigError, match="allowed: concat"):
        compose("train", ["algo=full_slate_q", "algo.network.kind=two_tower"])


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("problem", PROBLEMS)
def test_it_trains_and_goes_on_from_what_it_saved(problem: str, tmp_path: Any, assert_same: Any) -> None:
    words = ["report_every=400", "resources.users_per_runner=16", "algo.learning_starts=100", "algo.batch_size=32"]
    run = compose("train", [*SMALL, f"env={problem}", *words])
    one, two = run.algo.make_training(run, 0), run.algo.make_training(run, 1)
    try:
        one.step()
        one.save(tmp_path / "state")
        two.restore(tmp_path / "state")
        for training in (one, two):
            assert "learner/loss" in training.step()
        assert_same(one.policy().tensors(), two.policy().tensors())
        fresh = run.algo.make_policy(run.env.spec, 0).tensors()
        assert any((value != fresh[name]).any() for name, value in one.policy().tensors().items())
    finally:
        one.stop()
        two.stop()
