"""`Model`: what a bundle's policy shows, to any number of candidates, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.config.structured import load, to_plain
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.model import Model
from recsys_cli.serving.twins.policies import ValuedTwin
from recsys_cli.tracking.bundle import version_of, write_bundle

ENUMERATING = ("dqn", "full_slate_q", "sac", "tabular_q")
C, K, USERS = 5, 3, 4
EPSILON = Explore.parse("epsilon:0.2")


def untrained(folder: Path, algo: str, env: str = "interest_exploration", **settings: Any) -> Path:
    """Write the bundle of an untrained policy."""
    problem, learner = load("env", env, num_candidates=C, slate_size=K), load("algo", algo, **settings)
    learner.check(problem.spec)
    write_bundle(
        folder,
        config={"algo": to_plain(learner), "env": to_plain(problem)},
        spec=problem.spec,
        policy_state=learner.make_policy(problem.spec, seed=1).tensors(),
        info={"steps": 1},
    )
    return folder


def seen(model: Model, candidates: int, there: list[int] | None = None) -> dict[str, Any]:
    """Return what some users see, `there` candidates each."""
    rng, spec = np.random.default_rng(candidates), model.spec
    doc, topics = rng.random((USERS, candidates, len(spec.documents)), np.float32), spec.documents.topics
    if topics:
        doc[..., :topics] = np.eye(topics)[np.arange(candidates) % topics]
    user = rng.random((USERS, len(spec.user)), np.float32)
    mask = np.arange(candidates) < np.array(there or [candidates] * USERS)[:, None]
    return model.new_memory(USERS).extend({"user": user, "doc": doc, "mask": mask})


@pytest.mark.parametrize("algo", [name for name in catalog.option_names("algo") if name != "oracle"])
def test_any_number_of_candidates_is_answered_or_refused(algo: str, tmp_path: Path) -> None:
    model = Model.load(untrained(tmp_path / "bundle", algo), "champion", "runs/x", EPSILON)
    least, most = model.candidates
    assert (least, most) == ((K, C) if algo in ENUMERATING else (1, None))
    assert model.exact
    rng = np.random.default_rng(0)
    for candidates in (1, K, C, 12):
        there = [1, max(candidates - 1, 1), candidates, candidates]
        observation = seen(model, candidates, there)
        if algo in ENUMERATING:
            with pytest.raises(Refused, match=rf"champion \(algo={algo}\) takes requests of 3 to 5 candidates"):
                model.law(observation)
            if candidates < K:
                continue
            observation = seen(model, candidates, there := [K, K, min(candidates, C), min(candidates, C)])
        law = model.law(observation)
        slates = law.sample(rng)
        assert np.isfinite(law.position_log_prob(slates)).all()
        for slate, present in zip(slates.tolist(), there, strict=True):
            filled = min(K, present)
            assert slate[filled:] == [-1] * (K - filled) and len(set(slate[:filled])) == filled
            assert all(0 <= number < present for number in slate[:filled])
        scores = model.scores(observation)
        assert (scores is None) == (algo in (*ENUMERATING, "random"))
        assert scores is None or scores.shape == (USERS, candidates)


def test_it_says_what_it_is(tmp_path: Path) -> None:
    folder = untrained(tmp_path / "bundle", "slateq")
    model = Model.load(folder, "champion", "models:/slateq@champion", EPSILON)
    assert (model.name, model.algo, model.source) == ("champion", "slateq", "models:/slateq@champion")
    assert model.version == version_of(folder)
    assert model.spec.num_candidates is None and model.spec.varying


@pytest.mark.parametrize(
    ("algo", "explore", "message"),
    [
        ("oracle", "none", "an oracle acts on the whole observation"),
        ("oracle", "epsilon:0.0", "an oracle acts on the whole observation"),
        ("random", "plackett_luce:1.0", "explore=plackett_luce needs scores of items"),
        ("full_slate_q", "thompson", "explore=thompson needs a posterior"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(algo: str, explore: str, message: str, tmp_path: Path) -> None:
    folder = untrained(tmp_path / "bundle", algo)
    with pytest.raises(ConfigError, match=rf"^checkpoint=runs/x: algo={algo} cannot be served so: {message}[^\n]*$"):
        Model.load(folder, "champion", "runs/x", Explore.parse(explore))


@pytest.mark.parametrize(
    ("algo", "explore", "certain"),
    [("slateq", "none", True), ("slateq", "epsilon:0.1", False), ("bc", "none", False), ("lints", "thompson", False)],
)
def test_a_log_that_will_judge_nothing_is_announced(
    algo: str, explore: str, certain: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("recsys_cli.serving.model.warn", said.append)
    model = Model.load(untrained(tmp_path / "bundle", algo), "champion", "runs/x", Explore.parse(explore))
    assert [line.split(":")[0] for line in said] == (
        ["explore=none always shows the same slate for the same request"] if certain else []
    )
    assert model.exact == (explore != "thompson")


def test_padding_and_a_mask_of_ones_change_nothing(tmp_path: Path) -> None:
    for algo in ("slateq", "dqn", "greedy_pctr"):
        model = Model.load(untrained(tmp_path / algo, algo, "interest_evolution"), "champion", "runs/x", NOT_EXPLORING)
        alone = seen(model, C)
        wide = {**alone, "doc": np.pad(alone["doc"], ((0, 0), (0, 4), (0, 0)))}
        wide["mask"] = np.pad(alone["mask"], ((0, 0), (0, 4)))
        np.testing.assert_array_equal(model.law(alone).mode(), model.law(wide).mode())


@pytest.mark.parametrize(
    ("algo", "explore"),
    [
        *((algo, "epsilon:0.5") for algo in ("slateq", "ppo", "linucb", "random", "dqn")),
        *((algo, "plackett_luce:1.0") for algo in ("slateq", "ppo", "dqn")),
        *((algo, "thompson") for algo in ("lints", "thompson")),
        ("bc", "none"),
    ],
)
def test_a_slate_depends_on_its_request_and_seed_alone(algo: str, explore: str, tmp_path: Path) -> None:
    folder = untrained(tmp_path / algo, algo, "interest_evolution")
    model = Model.load(folder, "champion", "runs/x", Explore.parse(explore))
    rounding = 1e-5 if algo == "dqn" else 1e-12  # torch has no twin there
    there = [K, C, C - 1, C] if algo == "dqn" else [1, C, 2, 12]
    many, seeds = seen(model, max(there), there), np.arange(USERS, dtype=np.uint64)
    law, scores = model.answer(many)
    slates, order = law.sample_seeded(seeds), [2, 0, 3, 1]
    shuffled = {name: value[order] for name, value in many.items()}
    np.testing.assert_array_equal(model.law(shuffled).sample_seeded(seeds[order]), slates[order])
    for row, candidates in enumerate(there):
        alone = {name: value[[row]] for name, value in many.items()}
        alone |= {name: alone[name][:, :candidates] for name in ("doc", "mask")}
        own, own_scores = model.answer(alone)
        np.testing.assert_array_equal(own.sample_seeded(seeds[[row]]), slates[[row]])
        if model.exact:
            expected = law.position_log_prob(slates)[row]
            np.testing.assert_allclose(own.position_log_prob(slates[[row]])[0], expected, rtol=rounding)
        if model.scored:
            np.testing.assert_allclose(own_scores()[0], scores()[row, :candidates], rtol=rounding)


def test_what_law_and_scores_need_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model.load(untrained(tmp_path / "bundle", "slateq"), "champion", "runs/x", EPSILON)
    times, compute = [], ValuedTwin._compute
    monkeypatch.setattr(ValuedTwin, "_compute", lambda self, seen: times.append(1) or compute(self, seen))
    law, scores = model.answer(seen(model, C))
    slates = law.sample_seeded(np.arange(USERS, dtype=np.uint64))
    assert np.isfinite(law.log_prob(slates)).all() and scores().shape == (USERS, C)
    assert len(times) == 1
