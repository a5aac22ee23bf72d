"""RLlib's DQN and SAC over enumerated slates: what their losses read, what is refused, training and resuming."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.training_data import TrainingData
from trainings import assert_learned_as_often_as_told, trainings, whole_state

from recsys_cli.algos.enumerated import EnumeratedConfig
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.networks.features import Observed
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import CandidateRing, ReplayBuffer
from recsys_cli.rollouts.sampled import SampledReplay

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
ALGOS = sorted(
    path.stem
    for path in (conf_dir() / "algo").glob("[!_]*.yaml")
    if isinstance(load("algo", path.stem), EnumeratedConfig) and path.stem != "full_slate_q"  # its loop is ours
)
SMALL = (
    "env.num_candidates=5",
    "report_every=300",
    "resources.users_per_runner=32",
    "algo.learning_starts=100",
    "algo.batch_size=64",
    "algo.network.hidden=[8,4]",
)
MakeTraining = Callable[..., RLlibTraining]


class Learning:
    """A learner, its target networks moved away, and a batch of its own making from random slates."""

    def __init__(self, *words: str) -> None:
        run = compose("train", [*SMALL, *words])
        self.config = run.algo.algorithm().config_of(run.algo, run, seed=0)
        vec = run.env.make_vec(1)
        spaces = {DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
        self.learner = self.config.build_learner(spaces=spaces)
        self.module = self.learner.module[DEFAULT_MODULE_ID].unwrapped()
        generator = torch.Generator().manual_seed(1)
        for _, target in self.module.get_target_network_pairs():
            for parameter in target.parameters():
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
        collector, random = Collector(run.env, 8, seed=0), UniformPolicy(run.env.slate_size)
        buffer = ReplayBuffer(1000, 1, seed=0, discount=self.config.gamma, n_step=3, ring=CandidateRing)
        buffer.add(collector.collect(30, random.distribution, np.random.default_rng(0)))
        (self.sample,) = SampledReplay(buffer, 1).sample(num_items=9)
        data = TrainingData(episodes=[self.sample])
        self.batch = self.learner._make_batch_if_necessary(data)[DEFAULT_MODULE_ID]
        self.every = torch.tensor(list(combinations(range(5), self.module.net.attended)))

    def loss(self) -> Any:
        forward = self.module._forward_train(self.batch)
        return self.learner.compute_loss_for_module(
            module_id=DEFAULT_MODULE_ID, config=self.config, batch=self.batch, fwd_out=forward
        )

    def values(self, network: Any, prefix: str = "") -> np.ndarray:
        """Every slate's value, of this state or (`next_`) the following, `[9, M]`."""
        user, doc = (torch.as_tensor(self.sample.columns[f"{prefix}{name}"]) for name in ("user", "doc"))
        with torch.no_grad():
            return network(user, doc, self.every).double().numpy()

    def shown(self) -> list[int]:
        """Which of all slates was shown, looked up one by one."""
        slates = [tuple(slate) for slate in self.every.tolist()]
        attended = self.module.net.attended
        return [slates.index(tuple(sorted(slate[:attended]))) for slate in self.sample.columns["slate"].tolist()]

    def values_of_shown(self, network: Any) -> np.ndarray:
        """The values `[9]` of the slates shown, their documents in the order in which they were."""
        user, doc = (torch.as_tensor(self.sample.columns[name]) for name in ("user", "doc"))
        slates = torch.as_tensor(self.sample.columns["slate"][:, : self.module.net.attended])
        with torch.no_grad():
            each = [network(user[i : i + 1], doc[i : i + 1], slates[i : i + 1]).item() for i in range(9)]
        return np.array(each)


@pytest.mark.parametrize("double_q", ["true", "false"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_rllib_s_dqn_loss_is_that_of_whole_slates(problem: str, double_q: str) -> None:
    own = Learning("algo=dqn", f"env={problem}", f"algo.double_q={double_q}")
    target, rows = own.values(own.module.target_values, "next_"), np.arange(9)
    online = own.values(own.module.net.values, "next_") if double_q == "true" else target
    columns = own.sample.columns
    follows = columns["reward"] + columns["bootstrap"] * target[rows, online.argmax(-1)]
    error = own.values_of_shown(own.module.net.values) - follows
    assert own.loss().item() == pytest.approx(np.square(error).mean(), rel=1e-3)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_rllib_s_sac_losses_are_those_of_whole_slates(problem: str) -> None:
    own = Learning("algo=sac", f"env={problem}", "algo.reward_unit=20", "algo.temperature=0.7")
    own.loss()
    computed = {name: loss.item() for (_, name), loss in own.learner._temp_losses.items()}
    net, module, columns, rows = own.module.net.values, own.module, own.sample.columns, np.arange(9)

    def softmax(values: np.ndarray) -> np.ndarray:
        weights = np.exp(values - values.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    p, p_next = softmax(own.values(net)), softmax(own.values(net, "next_"))
    copies = (own.values(copy, "next_") for copy in (module.target_critic, module.target_twin))
    follows = (p_next * (np.minimum(*copies) - 0.7 * np.log(p_next))).sum(-1)
    target = columns["reward"] / 20 + columns["bootstrap"] * follows
    critics = {"qf_loss": own.values(module.critic), "qf_twin_loss": own.values(module.twin)}
    for (name, values), critic in zip(critics.items(), (module.critic, module.twin), strict=True):
        values[rows, own.shown()] = own.values_of_shown(critic)
        error = np.abs(values[rows, own.shown()] - target)
        huber = np.where(error < 1, error**2 / 2, error - 0.5)
        assert computed[name] == pytest.approx(huber.mean(), rel=1e-3)
    lesser = np.minimum(*critics.values())
    assert computed["policy_loss"] == pytest.approx((p * (0.7 * np.log(p) - lesser)).sum(-1).mean(), rel=1e-3)
    entropy = -(p * np.log(p)).sum(-1).mean()
    wanted = own.config.settings.target_entropy * math.log(len(own.every))
    assert computed["alpha_loss"] == pytest.approx(math.log(0.7) * (entropy - wanted), rel=1e-3)


def test_sac_s_gradients_are_those_of_all_slates_valued(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLlib's critic loss reads the value of the slate shown alone, so that no other is given a gradient."""
    own = Learning("algo=sac", "env.choice_model=exponential_cascade")  # every order is a slate

    def gradients() -> list[torch.Tensor]:
        found = own.learner.compute_gradients({DEFAULT_MODULE_ID: own.loss()})
        return [gradient.clone() for gradient in found.values()]

    computed = gradients()
    every = own.module.net.all_slates(5, torch.device("cpu"))
    monkeypatch.setattr(
        own.module, "_values_of_shown", lambda critic, batch: critic(batch["user"], batch["doc"], every)
    )
    expected = gradients()
    assert len(computed) == len(expected) == len(own.learner._params)
    for one, other in zip(computed, expected, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_the_sac_policy_draws_by_its_softmax() -> None:
    env = load("env", "interest_evolution", num_candidates=5)
    policy = load("algo", "sac").make_policy(env.spec, seed=3)
    observation = {
        name: np.repeat(array[:1], 20_000, 0)
        for name, array in env.make_vec(1).reset(seed=0)[0].items()
        if name != "response"
    }
    law = policy.distribution(observation)
    slates = law.sample(np.random.default_rng(0))
    net: Any = policy.network
    with torch.no_grad():
        weights = net.every_value(Observed(*(torch.as_tensor(observation[name][:1]) for name in ("user", "doc"))))
    expected = weights.softmax(-1)[0].numpy()
    every = [list(slate) for slate in combinations(range(5), 2)]
    drawn = np.array([every.index(slate) for slate in slates.tolist()])
    np.testing.assert_allclose(np.bincount(drawn, minlength=10) / 20_000, expected, atol=0.015)
    np.testing.assert_allclose(np.exp(law.log_prob(slates)), expected[drawn], rtol=1e-4)
    assert (policy.served(observation).mode() == every[expected.argmax()]).all()


@pytest.mark.parametrize("algo", ALGOS)
def test_what_does_not_fit_is_refused(algo: str) -> None:
    def refused(message: str, *words: str) -> None:
        with pytest.raises(ConfigError, match=message):
            compose("train", [f"algo={algo}", *words])

    refused(
        rf"makes 161,700 slates, and algo={algo} .*algo.max_slates=\d+ .*algo=slateq",
        "env.num_candidates=100",
        "env.slate_size=3",
    )
    refused("allowed: concat", "algo.network.kind=two_tower")
    refused("never terminate", "env=interest_exploration", "algo.discount=1")
    refused("framework=torch_compile compiles nothing", "framework=torch_compile")
    for key, value in (("lr", 0), ("replay_ratio", 0), ("target_tau", 0), ("batch_size", 0), ("max_slates", 0)):
        refused(rf"algo\.{key}={value}", f"algo.{key}={value}")


def test_sac_learns_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
    with pytest.raises(ConfigError, match=r"resources.learners=2: algo=sac learns in one process"):
        compose("train", ["algo=sac", "resources.learners=2"])
    for key in ("reward_unit", "temperature", "temperature_lr"):
        with pytest.raises(ConfigError, match=rf"algo\.{key}=0"):
            compose("train", ["algo=sac", f"algo.{key}=0"])


@pytest.fixture
def make_training() -> Iterator[MakeTraining]:
    """A function that builds a small training from overrides; ended after the test."""
    with trainings(*SMALL) as make:
        yield make


def everything(training: RLlibTraining) -> dict[str, Any]:
    return whole_state(training) | {"replay": training.algorithm.get_replay()}


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("algo", ALGOS)
def test_it_trains_and_a_restored_training_is_the_uninterrupted_one(
    make_training: MakeTraining, assert_same: Callable[[Any, Any], None], tmp_path: Path, algo: str, problem: str
) -> None:
    words = (f"algo={algo}", f"env={problem}", "steps=3000", "algo.memory=raw")
    one = make_training(*words)
    fresh = one.policy().tensors()
    for _ in range(2):
        one.step()
    one.save(tmp_path / "state")
    two = make_training(*words, seed=1)
    two.restore(tmp_path / "state")
    assert_same(everything(one), everything(two))
    for _ in range(2):
        report, other = one.step(), two.step()
        assert report == other
        assert "learner/loss" in report and all(map(math.isfinite, report.values()))
    assert_same(everything(one), everything(two))
    assert any((value != fresh[name]).any() for name, value in one.policy().tensors().items())
    assert math.isfinite(two.evaluate(8, seed=1)["return"])


@pytest.mark.usefixtures("no_ray")
def test_each_transition_is_learned_from_as_often_as_told(make_training: MakeTraining) -> None:
    assert_learned_as_often_as_told(make_training("algo=dqn", "algo.replay_ratio=3", "report_every=1"))


@pytest.mark.slow  # SlateQ's test of its values is fast
@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("algo", ALGOS)
def test_it_learns_what_no_myopic_policy_does(make_training: MakeTraining, algo: str) -> None:
    """Random 154, myopic 163."""
    training = make_training(
        f"algo={algo}",
        "steps=60000",
        "report_every=60000",
        "evaluation.every=0",
        "checkpoint.every=0",
        "resources.users_per_runner=128",
        "algo.network.hidden=[32,16]",
        "algo.batch_size=256",
        "algo.learning_starts=2000",
    )
    training.step()
    assert training.evaluate(1000, seed=1)["return"] > 168
