"""Learning from logs by gradients: every loss by definition, every learner on every problem, and to the bit."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from torch import Tensor
from trainings import learner_state, trainings

from recsys_cli.algos.cql.algorithm import values_of
from recsys_cli.algos.itemwise.learner import expectile_loss, exponential_weights
from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.offline.replay import LoggedReplay
from recsys_cli.offline.steps import Steps
from recsys_cli.policies.memory import Memory
from recsys_cli.slates.optimal import slate_values

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))

from logs import log_of

pytestmark = pytest.mark.usefixtures("no_ray")

PROBLEMS = [name for name in catalog.option_names("env") if name != "groups"]
VARIANTS = {
    "slateq": ("algo=slateq",),
    "slateq sarsa": ("algo=slateq", "algo.target=sarsa", "algo.n_step=3", "algo.choice_model=learned"),
    "bc": ("algo=bc",),
    "marwil": ("algo=marwil",),
    "awr": ("algo=awr", "algo.choice_model=learned"),
    "iql": ("algo=iql",),
    "iql weighted": ("algo=iql", "algo.extraction=weighted", "algo.memory=none"),
    "cql": ("algo=cql", "algo.network.kind=concat"),
}
# Every variant once, and the different ones on every problem.
PAIRS = [(variant, "interest_evolution") for variant in VARIANTS] + [
    (variant, problem)
    for variant in ("slateq sarsa", "bc", "iql weighted", "cql")
    for problem in ("interest_exploration", "long_term_satisfaction", "varying")
]
SMALL = ("steps=1000", "report_every=200", "algo.batch_size=64", "algo.network.hidden=[8]", "resources=inline")
SHORT: dict[str, dict[str, Any]] = {
    "interest_exploration": {"horizon": 9},
    "long_term_satisfaction": {"time_budget": 9},
}
SCALE = 5.0


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small random log of each problem, and one whose number of candidates varies."""
    folder = tmp_path_factory.mktemp("logs")
    envs = {name: load("env", name, slate_size=2, **SHORT.get(name, {})) for name in PROBLEMS}
    envs["varying"] = load("env", "interest_evolution", num_candidates=[1, 6], slate_size=3, time_budget=20.0)
    for name, env in envs.items():
        log_of(env, folder / name, users=40)
    return folder


@pytest.mark.parametrize(("variant", "problem"), PAIRS)
def test_every_learner_learns_from_every_log(variant: str, problem: str, logs: Path) -> None:
    with trainings(*SMALL, *VARIANTS[variant], f"data={logs / problem}") as make:
        training = make()
        before = {name: value.copy() for name, value in training.policy().tensors().items()}
        report = training.step()
        assert training.steps == 256  # whole minibatches
        assert math.isfinite(report["learner/loss"])
        after = training.policy().tensors()
        assert any((after[name] != before[name]).any() for name in after)
        assert all(np.isfinite(value).all() for value in after.values())


@pytest.mark.parametrize("variant", ["slateq sarsa", "bc", "cql", "iql weighted"])
def test_a_restored_training_is_the_uninterrupted_one(
    variant: str, logs: Path, tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    # A log in several parts.
    words = (*SMALL, *VARIANTS[variant], f"data={logs / 'interest_evolution'}", "algo.replay_capacity=600")
    words = (*words, "algo.learning_starts=0") if "slateq" in variant else words
    with trainings(*words) as make:
        whole, resumed = make(), make()
        whole.step()
        whole.save(tmp_path / "state")
        resumed.restore(tmp_path / "state")
        assert resumed.steps == whole.steps
        for _ in range(4):
            assert whole.step() == resumed.step()
        assert whole.algorithm.replay.part == resumed.algorithm.replay.part
        assert_same(learner_state(whole), learner_state(resumed))


def test_memory_from_data_is_raw(logs: Path) -> None:
    data = f"data={logs / 'interest_evolution'}"
    assert compose("train", ["algo=slateq", data]).algo.memory == "raw"
    assert compose("train", ["algo=slateq", data, "algo.memory=none"]).algo.memory == "none"
    assert compose("train", ["algo=slateq", data, "algo.network.kind=documents"]).algo.memory == "none"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("algo=slateq", "algo.replay=prioritized"), "algo.replay=prioritized is not available with data"),
        (("algo=bc", "algo.batch_size=2000"), "algo.batch_size=2000: steps=1000 rows of the log make no minibatch"),
        (("algo=bc", "resources.env_runners=1"), "resources.env_runners=1: a training from data= plays nothing"),
        (("algo=cql", "algo.choice_model=true"), "needs an observable affinity"),
        (("algo=iql", "algo.discount=1"), "gives no finite value"),
    ],
)
def test_refusals(words: tuple[str, ...], says: str, logs: Path) -> None:
    def built() -> None:
        run = compose("train", ["steps=1000", f"data={logs / 'interest_exploration'}", *words])
        run.algo.make_training(run, 0)

    with pytest.raises(ConfigError) as refused:
        built()
    assert says in str(refused.value)


class Learning:
    """A learner whose networks all differ, and a batch of logged transitions."""

    def __init__(self, log: Path, *words: str, rows: int = 12) -> None:
        run = compose("train", [*SMALL, f"algo.network.scale={SCALE}", f"data={log}", *words])
        self.config = run.algo.offline_algorithm().config_of(run.algo, run, seed=0)
        self.settings, spec = self.config.settings, run.env.spec
        torch.manual_seed(0)
        self.learner = self.config.build_learner(
            spaces={DEFAULT_MODULE_ID: (spec.observation_space(), spec.observation_space())}
        )
        self.module = self.learner.module[DEFAULT_MODULE_ID].unwrapped()
        for parameter in self.module.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape)
        policy = self.config.new_policy()
        replay = replay_of(run.env.dataset.load(), policy.new_memory)
        self.batch = {name: torch.as_tensor(column) for name, column in replay.sample(rows).items()}
        self.net = self.module.net
        self.now = self.net.observed_in(self.batch)

    def losses(self) -> dict[str, Tensor]:
        outputs = self.module._forward_train(self.batch)
        loss = self.learner.compute_loss_for_module(
            module_id=DEFAULT_MODULE_ID, config=self.config, batch=self.batch, fwd_out=outputs
        )
        return {**outputs, "loss": loss}

    def value(self, of: Any, row: int, slate: tuple[int, ...]) -> float:
        """A slate's value by definition; `of` gives item values."""
        with torch.no_grad():
            (q, q_null), (v, v_null) = of(self.now.state, self.now.doc), self.net.choice(self.now)
        mass = float(v_null[row]) + sum(float(v[row, i]) for i in slate)
        worth = float(v_null[row] * q_null[row]) + sum(float(v[row, i] * q[row, i]) for i in slate)
        return worth / mass


def replay_of(
    steps: Steps, new_memory: Callable[[int], Memory] = lambda users: Memory(), **settings: Any
) -> LoggedReplay:
    settings = {"capacity": 10**6, "discount": 0.9, "n_step": 1, "seed": 0, **settings}
    return LoggedReplay(
        lambda: iter([steps.episodes(slice(20)), steps.episodes(slice(20, None))]), new_memory, **settings
    )


def test_cloning_maximises_the_likelihood_of_logged_slates(logs: Path) -> None:
    learning = Learning(logs / "interest_evolution", "algo=bc")
    scores, slates = learning.net.scores(learning.now).tolist(), learning.batch["slate"].tolist()
    total = 0.0
    for row, slate in zip(scores, slates, strict=True):
        left = list(range(len(row)))
        for item in slate:
            total += row[item] - math.log(sum(math.exp(row[i]) for i in left))
            left.remove(item)
    assert learning.losses()["loss"].item() == pytest.approx(-total / len(slates), rel=1e-4)


def test_the_baseline_is_an_expectile_of_logged_slates_values(logs: Path) -> None:
    learning = Learning(logs / "interest_evolution", "algo=iql", "algo.expectile=0.7")
    baseline = learning.module.baseline(learning.now).tolist()
    expected = 0.0
    for row, slate in enumerate(learning.batch["slate"].tolist()):
        gap = (learning.value(learning.module.target_values, row, tuple(slate)) - baseline[row]) / SCALE
        expected += (0.7 if gap > 0 else 0.3) * gap**2 / len(baseline)
    assert learning.losses()["vf_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_values_bootstrap_from_the_baseline(logs: Path) -> None:
    learning = Learning(logs / "interest_evolution", "algo=iql")
    after = learning.net.observed_in(learning.batch, "next_")
    target = learning.batch["reward"] + learning.batch["bootstrap"] * learning.module.baseline(after)
    outputs = learning.losses()
    torch.testing.assert_close(outputs["error"] * SCALE, outputs["q"] - target)
    td = outputs["error"].square().mean().item()
    assert outputs["loss"].item() == pytest.approx(td + outputs["vf_loss"].item(), rel=1e-5)


@pytest.mark.parametrize("algo", ["marwil", "awr"])
def test_cloning_is_weighted_by_advantages(algo: str, logs: Path) -> None:
    learning = Learning(logs / "interest_evolution", f"algo={algo}", "algo.beta=2.0", "algo.weight_cap=3.0")
    baseline = learning.module.baseline(learning.now).tolist()
    gaps = [
        learning.value(learning.module.target_values, row, tuple(slate)) - baseline[row]
        for row, slate in enumerate(learning.batch["slate"].tolist())
    ]
    unit = math.sqrt(sum(gap**2 for gap in gaps) / len(gaps))
    weights = [min(math.exp(2.0 * gap / unit), 3.0) for gap in gaps]
    assert 3.0 in weights and min(weights) < 1
    cloned = Learning(logs / "interest_evolution", "algo=bc").batch
    assert (cloned["slate"] == learning.batch["slate"]).all()
    law = torch.distributions.Categorical(logits=learning.net.scores(learning.now))
    first = law.log_prob(learning.batch["slate"][:, 0])
    rest = learning.net.scores(learning.now).scatter(1, learning.batch["slate"][:, :1], -math.inf)
    second = torch.distributions.Categorical(logits=rest, validate_args=False).log_prob(learning.batch["slate"][:, 1])
    expected = -sum(w * float(p) for w, p in zip(weights, first + second, strict=True)) / len(weights)
    assert learning.losses()["policy_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_no_loss_reaches_anothers_network(logs: Path) -> None:
    learning = Learning(logs / "interest_evolution", "algo=awr")
    outputs = learning.losses()

    def reached(loss: Tensor) -> set[str]:
        named = {name: weight for name, weight in learning.module.named_parameters() if weight.requires_grad}
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=True)
        names = [name for name, gradient in zip(named, found, strict=True) if gradient is not None]
        return {name.removeprefix("net.").split(".")[0] for name in names}

    assert reached(outputs["policy_loss"]) == {"scorer"}
    assert reached(outputs["vf_loss"]) == {"baseline"}
    assert reached(outputs["error"].square().mean()) == {"values"}
    assert reached(outputs["loss"]) == {"scorer", "baseline", "values"}


def test_conservatism_is_what_slates_are_worth_beyond_the_logged_one(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("algo=cql", "algo.temperature=0.5", "algo.random_slates=4")
    learning = Learning(logs / "interest_evolution", *words, "algo.conservatism=0.25")
    drawn: list[Tensor] = []
    plain = learning.learner.random_slates

    def kept(*args: Any) -> Tensor:
        drawn.append(plain(*args))
        return drawn[-1]

    monkeypatch.setattr(learning.learner, "random_slates", kept)
    outputs = learning.losses()
    excess = 0.0
    candidates = range(learning.now.doc.shape[1])
    for row, slate in enumerate(learning.batch["slate"].tolist()):
        values = [learning.value(learning.net.values, row, tuple(of)) for of in drawn[0][row].tolist()]
        assert all(len(set(of)) == 2 for of in drawn[0][row].tolist())
        values.append(max(learning.value(learning.net.values, row, of) for of in permutations(candidates, 2)))
        soft = 0.5 * math.log(sum(math.exp(value / 0.5) for value in values))
        excess += soft - learning.value(learning.net.values, row, tuple(slate))
    td = outputs["error"].square().mean().item()
    expected = td + 0.25 * excess / len(learning.now.doc) / SCALE
    assert outputs["loss"].item() == pytest.approx(expected, rel=1e-4)


def test_values_of_slates_are_those_of_each() -> None:
    rng = torch.Generator().manual_seed(0)
    v, q = torch.rand((3, 5), generator=rng), torch.rand((3, 5), generator=rng)
    v_null, q_null = torch.rand(3, generator=rng), torch.rand(3, generator=rng)
    slates = torch.tensor([[[0, 1], [2, -1]], [[3, 4], [1, 0]], [[4, 2], [0, 3]]])
    values = values_of(v, q, v_null, q_null, slates)
    one = slate_values(v[1:2, [3, 4]], q[1:2, [3, 4]], v_null[1:2], q_null[1:2])
    assert float(values[1, 0]) == pytest.approx(float(one))
    short = (v_null[0] * q_null[0] + v[0, 2] * q[0, 2]) / (v_null[0] + v[0, 2])
    assert float(values[0, 1]) == pytest.approx(float(short))


def test_the_expectile_minimises_its_loss() -> None:
    values = torch.arange(11.0)
    grid = torch.linspace(0, 10, 1001)
    for expectile in (0.5, 0.8):
        best = grid[torch.stack([expectile_loss(values - m, expectile) for m in grid]).argmin()]
        balance = expectile * (values - best).clamp_min(0).sum() - (1 - expectile) * (best - values).clamp_min(0).sum()
        assert abs(float(balance)) < 0.2  # its first-order condition, up to the grid
    assert float(exponential_weights(torch.tensor([-1.0, 1.0]), 0.0, 20.0).sum()) == 2
    torch.testing.assert_close(
        exponential_weights(torch.tensor([-2.0, 2.0]), 1.0, 2.0), torch.tensor([math.exp(-1), 2.0])
    )


@pytest.mark.parametrize("problem", ["interest_evolution", "interest_exploration"])
def test_sums_of_rewards_end_with_the_episode(problem: str, logs: Path) -> None:
    steps = compose("train", ["algo=bc", f"data={logs / problem}"]).env.dataset.load()
    columns = steps.transitions(0.9, n_step=3)
    rows = steps.learnable()
    for i, row in enumerate(rows):
        total, last = 0.0, row
        for n in range(3):
            total += 0.9**n * float(steps.reward[row + n])
            last = row + n
            if steps.terminated[last] or not steps.valid[last + 1]:
                break
        assert columns["reward"][i] == pytest.approx(total, abs=1e-4)
        assert columns["bootstrap"][i] == pytest.approx(0 if steps.terminated[last] else 0.9 ** (last - row + 1))
        if not steps.terminated[last]:
            np.testing.assert_array_equal(columns["next_doc"][i], steps.doc[last + 1])
    assert steps.terminated.any() or (~steps.valid).any()


def test_a_log_larger_than_memory_is_read_in_parts(logs: Path) -> None:
    steps = compose("train", ["algo=bc", f"data={logs / 'interest_evolution'}"]).env.dataset.load()
    first = steps.episodes(slice(20))
    replay, seen = replay_of(steps, capacity=len(first)), []
    for _ in range(8):
        seen.append(replay.part)
        sample = replay.sample(len(steps) // 4)
        inside = first if replay.part == 0 else steps.episodes(slice(20, None))
        assert np.isin(sample["user"][:, 0], inside.user[:, 0]).all()
    assert set(seen) == {0, 1} and seen[:2] == [0, 0]
    again = replay_of(steps, capacity=len(first))
    again.set_state(replay.get_state())
    one, other = replay.sample(50), again.sample(50)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_last_observations_have_no_slate_to_be_valued(logs: Path) -> None:
    steps = compose("train", ["algo=bc", f"data={logs / 'interest_exploration'}"]).env.dataset.load()
    assert not steps.valid.all()
    assert (replay_of(steps).sample(500)["next_slate"] < 0).any()
    assert (replay_of(steps, next_slates=True).sample(500)["next_slate"] >= 0).all()
