"""SlateQ's loss, gradient, target network: against NumPy and by hand, in a learner that needs no Ray."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from learners import KINDS, SIZE, learn, learner_of, transitions
from ray.rllib.core import DEFAULT_MODULE_ID
from torch import Tensor

from recsys_cli.algos.slateq.algorithm import SlateQLearner
from recsys_cli.config.compose import compose
from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import ReplayBuffer
from recsys_cli.slates.optimisers import OPTIMISERS

ROWS, DISCOUNT, SCALE = 6, 0.9, 5.0

MakeLearner = Callable[..., SlateQLearner]


@pytest.fixture(scope="module")
def make_learner() -> MakeLearner:
    """A function that builds a learner from overrides."""

    def make(*overrides: str) -> SlateQLearner:
        small = ["env.num_candidates=5", "algo.memory=none", "algo.network.hidden=[8]", "algo.network.doc_hidden=4"]
        run = compose("train", [*small, f"algo.network.scale={SCALE}", *overrides])
        config = run.algo.algorithm().config_of(run.algo, run, seed=0)
        vec = run.env.make_vec(1)
        torch.manual_seed(0)
        spaces = {DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
        return config.build_learner(spaces=spaces)

    return make


def batch_for(learner: SlateQLearner, rows: int = ROWS) -> dict[str, Tensor]:
    """Random transitions of every kind: each position clicked, none clicked, ended and not."""
    env, rng = learner.config.problem, np.random.default_rng(0)
    k = env.slate_size

    def docs(count: int) -> np.ndarray:
        if env.spec.documents.one_hot:
            return rng.integers(0, len(env.spec.documents), (rows, count)).astype(np.uint8)
        return rng.random((rows, count, len(env.spec.documents))).astype(np.float32)

    columns = {
        "user": rng.uniform(-1, 1, (rows, len(env.spec.user))).astype(np.float32),
        "slate_doc": docs(k),
        "clicked": np.arange(rows) % (k + 1),
        "reward": rng.normal(0, 4, rows).astype(np.float32),
        "bootstrap": (DISCOUNT * (np.arange(rows) % 4 != 1)).astype(np.float32),
        "next_user": rng.uniform(-1, 1, (rows, len(env.spec.user))).astype(np.float32),
        "next_doc": docs(env.num_candidates),
        "next_slate": rng.permuted(np.tile(np.arange(env.num_candidates), (rows, 1)), axis=1)[:, :k],
    }
    remembered = learner.config.learning_memory(learner.config.new_policy(), rows).extend({}).get("memory")
    if remembered is not None:
        columns |= {name: rng.random(remembered.shape, dtype=np.float32) for name in ("memory", "next_memory")}
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def module_of(learner: SlateQLearner) -> Any:
    return learner.module[DEFAULT_MODULE_ID].unwrapped()


def loss_of(learner: SlateQLearner, batch: dict[str, Tensor]) -> Tensor:
    out = module_of(learner)._forward_train(batch)
    return learner.compute_loss_for_module(module_id=DEFAULT_MODULE_ID, config=learner.config, batch=batch, fwd_out=out)


def disturb_target(learner: SlateQLearner) -> None:
    """Make the target network differ from the online one."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module_of(learner).target_values.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


def numpy_values(values: Any, user: Tensor, doc: Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        q, q_null = values(user, doc)
    return q.double().numpy(), q_null.double().numpy()


def numpy_loss(learner: SlateQLearner, batch: dict[str, Tensor]) -> float:
    """The loss by definition: every next slate is tried."""
    module, settings, k = module_of(learner), learner.config.settings, learner.config.problem.slate_size
    learned = settings.null_value == "learned"
    critic = module.critic
    state, doc = critic.observed_in(batch, "next_").state, batch["next_doc"]
    target_q, target_null = numpy_values(module.target_values, state, doc)
    choosing_q, choosing_null = numpy_values(critic.values if settings.double_q else module.target_values, state, doc)
    with torch.no_grad():
        v, v_null = (part.double().numpy() for part in critic.choice(critic.observed_in(batch, "next_")))
    shown = critic.shown_in(batch).state, batch["slate_doc"]
    own_q, own_null = numpy_values(critic.values, *shown)
    gain_q, gain_null = numpy_values(module.net.values, module.net.shown_in(batch).state, batch["slate_doc"])
    _, base = numpy_values(module.target_values, *shown)
    errors, gains, attended = [], [], critic.attended
    for i in range(len(doc)):

        def value(slate: tuple[int, ...], q: np.ndarray, null: np.ndarray, i: int = i) -> float:
            at, nothing = list(slate), null[i] if learned else 0.0
            return (v_null[i] * nothing + (v[i, at] * q[i, at]).sum()) / (v_null[i] + v[i, at].sum())

        slates = combinations(range(doc.shape[1]), attended)
        best = max(slates, key=lambda slate: value(slate, choosing_q, choosing_null))
        if settings.target == "sarsa":
            best = tuple(batch["next_slate"][i, :attended].tolist())
        elif settings.target != "optimal":
            nothing = choosing_null if learned else choosing_null * 0
            parts = (torch.from_numpy(x[i : i + 1]) for x in (v, choosing_q, v_null, nothing))
            best = tuple(OPTIMISERS[settings.target](*parts, attended)[0][0].tolist())
        target = batch["reward"][i].item()
        target += batch["bootstrap"][i].item() * value(best, target_q, target_null)
        position = batch["clicked"][i].item()
        if position < k:
            errors.append(own_q[i, position] - target)
            gains.append(gain_q[i, position] - target + (base[i] if learned else 0.0))
        elif learned:
            errors.append(own_null[i] - target)
            gains.append(gain_null[i] - target + base[i])
    losses = []
    for error in (np.abs(errors), np.abs(gains)):
        each = error**2 if settings.loss == "squared" else np.where(error < 1, error**2, 2 * error - 1)
        losses.append(float(each.mean() / SCALE**2))
    return losses[0] if critic is module.net else sum(losses)


def likelihood_loss(learner: SlateQLearner, batch: dict[str, Tensor]) -> float:
    networks = {module_of(learner).net, module_of(learner).critic}
    known = [net for net in networks if hasattr(net.choice, "loss")]
    return sum(net.choice.loss(net.shown_in(batch), batch["clicked"]).item() for net in known)


@pytest.mark.parametrize("kind", ["two_tower", "concat"])
@pytest.mark.parametrize("null_value", ["learned", "zero"])
@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("double_q", ["true", "false"])
def test_loss_is_the_definition(
    make_learner: MakeLearner, kind: str, null_value: str, loss: str, double_q: str
) -> None:
    learner = make_learner(
        f"algo.null_value={null_value}", f"algo.loss={loss}", f"algo.double_q={double_q}", f"algo.network.kind={kind}"
    )
    disturb_target(learner)
    batch = batch_for(learner)
    assert loss_of(learner, batch).item() == pytest.approx(numpy_loss(learner, batch), rel=1e-4)


@pytest.mark.parametrize("target", ["sarsa", "top_k", "greedy"])
@pytest.mark.parametrize("null_value", ["learned", "zero"])
@pytest.mark.parametrize("problem", ["interest_evolution", "long_term_satisfaction"])
def test_the_target_is_of_the_slate_that_the_option_names(
    make_learner: MakeLearner, target: str, null_value: str, problem: str
) -> None:
    learner = make_learner(f"algo.target={target}", f"algo.null_value={null_value}", f"env={problem}")
    disturb_target(learner)
    batch = batch_for(learner)
    expected = numpy_loss(learner, batch) + likelihood_loss(learner, batch)
    assert loss_of(learner, batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("problem", ["interest_exploration", "long_term_satisfaction"])
@pytest.mark.parametrize("null_value", ["learned", "zero"])
def test_loss_is_the_definition_on_other_problems(make_learner: MakeLearner, problem: str, null_value: str) -> None:
    learner = make_learner(f"env={problem}", f"algo.null_value={null_value}")
    disturb_target(learner)
    batch = batch_for(learner)
    expected = numpy_loss(learner, batch) + likelihood_loss(learner, batch)
    assert loss_of(learner, batch).item() == pytest.approx(expected, rel=1e-4)


def test_a_terminal_step_is_not_bootstrapped(make_learner: MakeLearner) -> None:
    learner = make_learner()
    batch = batch_for(learner)
    batch["bootstrap"] = torch.zeros(ROWS)
    disturb_target(learner)
    before = loss_of(learner, batch)
    batch["next_user"], batch["next_doc"] = batch["next_user"].flip(0), batch["next_doc"].flip(0)
    assert loss_of(learner, batch) == before
    batch["bootstrap"] = torch.ones(ROWS)
    assert loss_of(learner, batch) != before


@pytest.mark.parametrize(("problem", "length"), [("interest_evolution", None), ("interest_exploration", 3)])
def test_replay_bootstraps_truncated_steps_but_not_terminal_ones(problem: str, length: int | None) -> None:
    env = load("env", problem, **({"horizon": length} if length else {"time_budget": 8.0}))
    collector, random = Collector(env, 16, seed=0), UniformPolicy(env.slate_size)
    chunk = collector.collect(40, random.distribution, np.random.default_rng(0))
    replay = ReplayBuffer(10_000, 1, seed=0, n_step=1, discount=DISCOUNT)
    replay.add(chunk)
    bootstrap = replay.sample(2000)["bootstrap"]
    ended = chunk.terminated[:-1].sum() / chunk.valid[:-1].sum()  # the newest row has no next one yet
    assert (ended == 0) == (length is not None)
    np.testing.assert_allclose(np.unique(bootstrap), [DISCOUNT] if length else [0, DISCOUNT])
    assert (bootstrap == 0).mean() == pytest.approx(ended, abs=0.04)


@pytest.mark.parametrize("null_value", ["learned", "zero"])
@pytest.mark.parametrize("clicked", [0, 1, 2])
def test_only_what_was_clicked_gets_gradient(make_learner: MakeLearner, clicked: int, null_value: str) -> None:
    learner = make_learner(f"algo.null_value={null_value}")
    batch = {name: column[:1] for name, column in batch_for(learner).items()}
    batch["clicked"], batch["slate_doc"] = torch.tensor([clicked]), torch.tensor([[3, 7]], dtype=torch.uint8)
    module = module_of(learner)
    loss_of(learner, batch).backward()
    # The last layer's outputs: the state's value, the null's, and one a topic.
    for net in (module.net, module.critic):
        moved = set(net.values.user_tower[-1].bias.grad.nonzero().flatten().tolist())
        if clicked == 2:
            assert moved == ({0, 1} if null_value == "learned" else set())
        else:
            assert moved == {0, 2 + [3, 7][clicked]}
    assert all(parameter.grad is None for parameter in module.target_values.parameters())


def weights(values: Any) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in values.parameters()]


def update(learner: SlateQLearner, rows: int) -> None:
    learner._update({DEFAULT_MODULE_ID: batch_for(learner, rows)})


def test_polyak_moves_the_target_a_little_at_every_gradient_step(make_learner: MakeLearner) -> None:
    learner = make_learner("algo.batch_size=8", "algo.target_tau=0.25")
    disturb_target(learner)
    module = module_of(learner)
    before = weights(module.target_values)
    update(learner, 8)
    assert learner.gradient_steps == 1
    for old, new, online in zip(before, weights(module.target_values), weights(module.critic.values), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * online)


def test_periodic_copies_the_online_network_now_and_then(make_learner: MakeLearner) -> None:
    learner = make_learner("algo.batch_size=8", "algo.target_update=periodic", "algo.target_period=3")
    module = module_of(learner)
    before = weights(module.target_values)
    update(learner, 16)
    assert learner.gradient_steps == 2
    torch.testing.assert_close(weights(module.target_values), before, rtol=0, atol=0)
    update(learner, 8)
    torch.testing.assert_close(weights(module.target_values), weights(module.critic.values), rtol=0, atol=0)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_gradient_steps_lower_the_loss(make_learner: MakeLearner, optimizer: str) -> None:
    learner = make_learner(f"algo.optimizer={optimizer}", "algo.batch_size=64", "algo.lr=1e-2")
    batch = batch_for(learner, 64)
    before = loss_of(learner, batch).item()
    for _ in range(30):
        update(learner, 64)
    assert loss_of(learner, batch).item() < before / 2


def test_state_brings_everything_back(make_learner: MakeLearner, assert_same: Callable[[Any, Any], None]) -> None:
    learner, other = (make_learner("algo.batch_size=8", "algo.target_update=periodic") for _ in range(2))
    update(learner, 24)
    other.set_state(learner.get_state())
    assert other.gradient_steps == 3
    update(learner, 24)
    update(other, 24)
    assert_same(learner.get_state(), other.get_state())


def test_a_belief_and_the_posterior_of_values_are_learned() -> None:
    learner = learner_of(*KINDS["belief"])
    net = learner.module[DEFAULT_MODULE_ID].unwrapped().net
    learn(learner, transitions(learner, 5 * SIZE))
    assert net.filter.out.weight.any() and net.filter.into.weight.isfinite().all()
    assert net.posterior.updates == 1 and net.posterior.seen == 5 * SIZE / learner.config.settings.replay_ratio
    assert not net.posterior.inputs.equal(torch.eye(len(net.posterior.inputs)))


def test_values_do_not_bend_beliefs() -> None:
    learner = learner_of(*KINDS["belief"])
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    torch.nn.init.normal_(module.net.filter.out.weight)
    columns = module.net.recalled(transitions(learner, SIZE), 1)
    assert columns["memory"].requires_grad
    gradient = torch.autograd.grad(
        module._forward_train(columns)["q"].sum(), list(module.net.filter.parameters()), allow_unused=True
    )
    assert all(each is None for each in gradient)
