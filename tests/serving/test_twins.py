"""NumPy twins show torch's slates: every algorithm that has one, on every problem, with any number of candidates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.bandit import BanditPolicy
from recsys_cli.policies.lspi import LSPIPolicy
from recsys_cli.policies.memory import Memory
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.network import ScoringPolicy
from recsys_cli.policies.routed import RoutedPolicy
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.serving.twins import MAKERS, twin_of
from recsys_cli.serving.twins import optimisers as ours
from recsys_cli.slates import optimisers as torchs

PROBLEMS = catalog.option_names("env")
K, USERS = 3, 16
WIDTHS = [(1, 1), (K - 1, K - 1), (K, K), (10, 10), (37, 37), (1, 12), (1000, 1000)]
TWINS = (
    *(
        "appo",
        "ars",
        "awr",
        "bc",
        "cql",
        "es",
        "greedy_pctr",
        "impala",
        "iql",
        "linear_greedy",
        "lints",
        "linucb",
        "lspi",
    ),
    *("marwil", "myopic", "neural_linear", "ppo", "reinforce_topk", "slateq"),
)


def network(kind: str, doc_hidden: int = 0) -> dict[str, Any]:
    return {"network": {"kind": kind, "hidden": [32, 16], "doc_hidden": doc_hidden, "scale": 10.0}}


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "slateq greedy": ("slateq", {"serving": "greedy"}),
    "slateq top_k": ("slateq", {"serving": "top_k", "null_value": "zero"}),
    "slateq concat": ("slateq", {**network("concat"), "memory": "documents"}),
    "slateq towers": ("slateq", {**network("two_tower", 8), "choice_model": "learned", "memory": "raw"}),
    "slateq documents": ("slateq", network("documents", 8)),
    "slateq remembering": ("slateq", {"memory": "documents"}),
    "slateq proportional": ("slateq", {"choice_model": "learned_proportional", "null_value": "zero"}),
    "iql weighted": ("iql", {"extraction": "weighted", "memory": "documents"}),
    "ppo concat": ("ppo", network("concat")),
    "linucb shown": ("linucb", {"observe": "shown", "slate": "top_k", "memory": "documents"}),
    "linucb shared": ("linucb", {"parameters": "shared", "features": "user_doc"}),
    "lints documents": ("lints", {"parameters": "shared", "features": "doc"}),
    "es linear": ("es", {"network": {"kind": "two_tower", "hidden": [], "doc_hidden": 0}, "memory": "documents"}),
    "lspi documents": ("lspi", {"memory": "documents", "features": "full"}),
    "lspi forgetful": ("lspi", {"memory": "none"}),
}
CHOICES = ("multinomial_logit", "exponential_cascade", "proportional_cascade")
CASES = [
    *((name, name, {}, problem, {}) for name in TWINS for problem in PROBLEMS),
    *((variant, name, words, problem, {}) for variant, (name, words) in VARIANTS.items() for problem in PROBLEMS),
    *((f"slateq {kind}", "slateq", {}, "interest_evolution", {"choice_model": kind}) for kind in CHOICES),
]


def spec_of(problem: str, **changes: Any) -> ProblemSpec:
    """A problem with any number of candidates."""
    spec = load("env", problem, slate_size=K, **changes).spec
    return dataclasses.replace(spec, num_candidates=None, min_candidates=1)


@cache
def played(problem: str, width: tuple[int, int], memory: str) -> dict[str, Any]:
    """What users see after two random slates; `width` is of the candidates, as in `env.num_candidates`."""
    env = load("env", problem, slate_size=K, num_candidates=[1, max(width[1], K + 1)] if width[0] < K else width[0])
    collector, rng = Collector(env, USERS, seed=width[1]), np.random.default_rng(1)
    collector.remember(new_memory(env.spec, memory))
    collector.collect(2, UniformPolicy(K).distribution, rng)
    seen = dict(collector.newest())
    seen["doc"] = env.spec.documents.dense(np.asarray(seen["doc"]))
    if width[0] == width[1] < K:
        seen["doc"], seen["mask"] = seen["doc"][:, : width[0]], np.ones((USERS, width[0]), bool)
    missing = max(K - seen["doc"].shape[1], 0)
    seen["doc"] = np.pad(seen["doc"], ((0, 0), (0, missing), (0, 0)))
    if "mask" in seen:
        seen["mask"] = np.pad(seen["mask"].astype(bool), ((0, 0), (0, missing)))
    return seen


def new_memory(spec: ProblemSpec, kind: str) -> Memory:
    from recsys_cli.policies.memory import new_memory as make

    return make(kind, spec, USERS)


def memory_of(policy: SlatePolicy) -> str:
    """The kind of the policy's session memory."""
    return getattr(policy, "memory", None) or getattr(getattr(policy, "network", None), "memory", "none")


def learned(policy: SlatePolicy, problem: str, memory: str) -> SlatePolicy:
    """The policy, of which something is known: networks begin with random weights, others learn from random slates."""
    if isinstance(policy, ScoringPolicy):
        if (limit := getattr(policy.network, "limit", None)) is not None:
            limit.limit.copy_(torch.tensor([20.0, 3.0, 1.0, 5.0]))  # two steps are some half of a session
        return policy
    env, rng = load("env", problem, slate_size=K), np.random.default_rng(0)
    collector = Collector(env, USERS, seed=3)
    collector.remember(new_memory(env.spec, memory))
    columns = collector.collect(12, UniformPolicy(K).distribution, rng).transitions()
    if isinstance(policy, LSPIPolicy):
        policy.learn_basis({**columns, "terminated": np.zeros(len(columns["clicked"]), bool)})
        policy.values.weights = rng.standard_normal(policy.features.size)
    elif isinstance(policy, BanditPolicy | MyopicPolicy):
        policy.learn(columns)
    return policy


@pytest.mark.parametrize(
    ("title", "name", "words", "problem", "changes"), CASES, ids=lambda x: str(x).replace(" ", "-")
)
def test_a_twin_shows_the_same_documents(
    title: str, name: str, words: Mapping[str, Any], problem: str, changes: Mapping[str, Any]
) -> None:
    algo, spec = load("algo", name, **words), spec_of(problem, **changes)
    try:
        algo.check(spec)
    except ConfigError as error:
        pytest.skip(str(error))
    policy = algo.make_policy(spec, seed=2)
    memory = memory_of(policy)
    twin = twin_of(learned(policy, problem, memory))
    assert twin is not policy
    for width in WIDTHS if problem == "interest_evolution" else [(1, 12)]:
        seen = played(problem, width, memory)
        if width[1] == 1000:  # torch is slow at it
            seen = {name: np.asarray(value)[:4] for name, value in seen.items() if name != "response"}
        one, other = policy.served(seen), twin.served(seen)
        torch_slates, slates = one.mode(), other.mode()
        assert other.possible(slates).all()
        assert type(one) is type(other)
        scores, same = twin.scores(seen), shown_documents(seen, slates) == shown_documents(seen, torch_slates)
        expected = policy.scores(seen)
        unit = np.abs(expected[np.asarray(seen.get("mask", np.ones(expected.shape)), bool)]).max() + 1e-6
        ranked = [np.take_along_axis(expected, np.maximum(each, 0), axis=1) for each in (slates, torch_slates)]
        tied = (np.abs(ranked[0] - ranked[1]) < 1e-5 * unit).all(1)
        assert (same.reshape(len(slates), -1).all(1) | tied).all(), width
        given = np.where(slates < 0, 0, np.take_along_axis(scores, np.maximum(slates, 0), axis=1))
        if "mask" not in seen:  # torch scales choice scores by the greatest, absent ones too
            np.testing.assert_allclose(given, ranked[1], atol=1e-4 * unit)
        assert (np.diff(np.where(slates < 0, -1e300, given), axis=1)[slates[:, 1:] >= 0] <= 0).all()


def shown_documents(seen: Mapping[str, Any], slates: np.ndarray) -> np.ndarray:
    """The features of what is shown, `[N, k, F]`; NaN, which equals nothing, never: -1 is a row of 2s."""
    documents = np.take_along_axis(seen["doc"], np.maximum(slates, 0)[..., None], axis=1)
    return np.where(slates[..., None] < 0, 2.0, documents)


def test_every_policy_with_a_twin_is_tested() -> None:
    made = {}
    for name in catalog.option_names("algo"):
        algo = load("algo", name)
        for problem in PROBLEMS:
            spec = spec_of(problem)
            try:
                algo.check(spec)
                policy = algo.make_policy(spec, seed=0)
            except ConfigError:
                continue
            if isinstance(policy, RoutedPolicy):
                continue  # its parts have theirs
            made[name] = twin_of(policy) is not policy
            assert made[name] == (type(policy) in MAKERS)
    assert tuple(sorted(name for name, twin in made.items() if twin)) == TWINS


def test_a_subclass_has_no_twin() -> None:
    class Own(ScoringPolicy):
        pass

    policy = load("algo", "slateq").make_policy(spec_of("interest_evolution"), seed=0)
    own = Own(policy.network)
    assert twin_of(own) is own


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("case", [*TWINS, "slateq towers", "slateq concat", "linucb shared", "lints documents"])
def test_a_request_alone_and_one_of_many_get_the_same_bits(case: str, problem: str) -> None:
    name, words = VARIANTS.get(case, (case, {}))
    algo, spec = load("algo", name, **words), spec_of(problem)
    try:
        algo.check(spec)
    except ConfigError as error:
        pytest.skip(str(error))
    policy = algo.make_policy(spec, seed=2)
    memory = memory_of(policy)
    twin, rng = twin_of(learned(policy, problem, memory)), np.random.default_rng(0)
    seen = {key: np.asarray(value)[:6] for key, value in played(problem, (37, 37), memory).items() if key != "response"}
    doc = rng.random(seen["doc"].shape, np.float32)
    if doc.shape[2] > 1:
        doc /= doc.sum(-1, keepdims=True)
    seen["doc"] = doc  # scores are sums of many terms then, unlike those of one topic
    there = rng.integers(K, 38, 6)
    many = {**seen, "mask": np.arange(37) < there[:, None]}
    slates, scores = twin.served(many).mode(), twin.scores(many)
    for row, candidates in enumerate(there):
        alone = {key: value[[row]] for key, value in seen.items()}
        alone["doc"] = alone["doc"][:, :candidates]
        np.testing.assert_array_equal(twin.served(alone).mode(), slates[[row]])
        rounding = 1e-12 if name == "lspi" else 0  # its features of users are BLAS's
        np.testing.assert_allclose(twin.scores(alone)[0], scores[row, :candidates], rtol=rounding)


ROWS = 5


def parts_of(rng: np.random.Generator, c: int, null: float, masked: bool, ties: bool, rows: int = ROWS) -> ours.Parts:
    v, q = rng.random((rows, c)), rng.standard_normal((rows, c))
    if ties:
        v, q = np.round(2 * v) / 2, np.round(q)
    mask = rng.random((rows, c)) < 0.4 if masked else None
    if mask is not None:
        mask[np.arange(rows), rng.integers(0, c, rows)] = True
        mask[0] = np.arange(c) == 0
    return ours.Parts(v, q, np.full(rows, null), rng.standard_normal(rows), mask)


@pytest.mark.parametrize("c", [3, 6])
def test_what_is_not_there_counts_for_nothing(c: int) -> None:
    parts = parts_of(np.random.default_rng(c), c, 1.0, masked=True, ties=False, rows=800)
    tensors = [torch.from_numpy(part) for part in parts]
    expected, _ = torchs.OPTIMISERS["optimal"](*tensors[:4], 3, tensors[4])
    np.testing.assert_array_equal(ours.optimal_slates(parts, 3), expected.numpy())


@pytest.mark.parametrize("name", sorted(ours.OPTIMISERS))
@pytest.mark.parametrize("ties", [False, True])
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(1, 1), (3, 3), (6, 3), (10, 2), (60, 3), (60, 14)]),
    null=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
    masked=st.booleans(),
)
def test_optimisers_find_slates_of_torch_s_value(
    name: str, ties: bool, seed: int, size: tuple[int, int], null: float, masked: bool
) -> None:
    c, k = size
    parts = parts_of(np.random.default_rng(seed), c, null, masked, ties)
    tensors = [torch.from_numpy(part) for part in parts[:4]]
    mask = None if parts.mask is None else torch.from_numpy(parts.mask)
    expected, value = torchs.OPTIMISERS[name](*tensors, k, mask)
    slates = ours.OPTIMISERS[name](parts, k)
    if not ties:
        np.testing.assert_array_equal(slates, expected.numpy())
    elif name == "optimal":
        picked = [torchs.of_shown(part, torch.from_numpy(slates)) for part in tensors[:2]]
        np.testing.assert_allclose(torchs.slate_values(*picked, *tensors[2:]), value, atol=1e-9)
    alone = [ours.Parts(*(None if p is None else p[[row]] for p in parts)) for row in range(ROWS)]
    np.testing.assert_array_equal(np.concatenate([ours.OPTIMISERS[name](part, k) for part in alone]), slates)
    wide = ours.Parts(
        *(np.pad(part, ((0, 0), (0, 9))) for part in parts[:2]),
        *parts[2:4],
        np.pad(np.ones((ROWS, c), bool) if parts.mask is None else parts.mask, ((0, 0), (0, 9))),
    )
    np.testing.assert_array_equal(ours.OPTIMISERS[name](wide, k), slates)
    attended = max(k - 1, 1)
    whole = ours.whole_slates(parts, k, attended, ours.OPTIMISERS[name])
    torch_whole = torchs.whole_slates(*tensors, k, attended, torchs.OPTIMISERS[name], mask).numpy()
    assert ties or (whole == torch_whole).all()
    given, wanted = (
        ours.slate_scores(parts, whole, attended),
        torchs.slate_scores(tensors, torch.from_numpy(whole), attended, mask),
    )
    if not ties:
        np.testing.assert_allclose(given, wanted.numpy(), atol=1e-9)
    there = whole >= 0
    ranked = np.take_along_axis(given, np.maximum(whole, 0), axis=1)
    assert (np.diff(ranked, axis=1)[there[:, 1:]] <= 0).all()
