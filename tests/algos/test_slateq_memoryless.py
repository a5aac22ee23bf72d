"""SlateQ without memory: a critic that remembers teaches a policy that sees the user as observed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trainings import trainings

from recsys_cli.algos.slateq.algorithm import SlateQ
from recsys_cli.algos.slateq.memoryless import MemorylessSlateQ
from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.envs.long_term_satisfaction import LongTermSatisfactionConfig
from recsys_cli.envs.long_term_satisfaction_env import LongTermSatisfactionVectorEnv
from recsys_cli.envs.spec import Features, ProblemSpec
from recsys_cli.envs.vector import Advance
from recsys_cli.rollouts.episodes import play

pytestmark = pytest.mark.usefixtures("no_ray")

SMALL = ("resources.users_per_runner=64", "algo=slateq", "algo.memory=none", "report_every=4000")


class TiringVectorEnv(LongTermSatisfactionVectorEnv):
    """Users whom intense documents tire, in plain sight: who is worn out enjoys nothing until a calm one rests them."""

    def _start(self, rows: NDArray[np.intp]) -> None:
        super()._start(rows)
        self._satisfaction[rows] = 1.0

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        intensity = self._clickbait.take(slates[:, 0] + self._offsets[:, 0]).astype(np.float64)
        engagement = intensity * (self._satisfaction > 0)
        self._satisfaction = (self._satisfaction + np.where(intensity > 0.5, -0.25, 0.5)).clip(0, 1)
        self._budget = self._budget - 1
        response = self._no_response()
        response["click"][:, 0], response["engagement"][:, 0] = 1, engagement
        return response, engagement, self._budget <= 0

    def _user(self) -> NDArray[np.float32]:
        return self._satisfaction[:, None].astype(np.float32)


@dataclass
class TiringConfig(LongTermSatisfactionConfig):
    """Users whose freshness is their only feature."""

    def describe(self) -> ProblemSpec:
        return dataclasses.replace(super().describe(), user=Features.of(1, 0.0, 1.0))

    def native_env(self, num_envs: int, doc_format: str) -> TiringVectorEnv:
        return TiringVectorEnv(self, num_envs, doc_format)


def return_of(*words: str) -> float:
    """Return what SlateQ earns from tiring users after a short training."""
    run = compose("train", [*SMALL, "env=long_term_satisfaction", "steps=20000", *words])
    keys = {field.name: getattr(run.env, field.name) for field in dataclasses.fields(run.env)}
    run = dataclasses.replace(run, env=TiringConfig(**keys))
    training: Any = run.algo.make_training(run, 0)
    try:
        while training.steps < run.steps:
            training.step()
        return float(play(training.policy(), run.env, 200, seed=1).returns.mean())
    finally:
        training.stop()


def test_a_state_that_is_observed_is_used() -> None:
    """The best policy rests users who are worn out; one blind to them cannot, and keeps tiring them."""
    assert return_of() > 30
    assert return_of("algo.network.kind=documents") < 10


def test_the_policy_has_no_memory_and_the_checkpoint_no_critic() -> None:
    with trainings(*SMALL, "steps=20000") as make:
        training = make()
        training.step()
        policy = training.policy()
        assert "memory" not in policy.new_memory(1).extend({})
        assert policy.tensors().keys() == compose("train", SMALL).algo.make_policy(training.env.spec).tensors().keys()


@pytest.mark.parametrize("preset", [name for name in catalog.option_names("experiment") if "slateq_paper/" in name])
def test_the_paper_s_values_teach_themselves(preset: str) -> None:
    assert not getattr(compose("train", [f"experiment={preset}"]).algo, "has_teacher", False)


def test_a_policy_without_memory_may_teach_itself() -> None:
    alone, taught = (compose("train", [*SMALL, *words]).algo for words in (["algo.critic_memory=none"], []))
    assert alone.algorithm() is SlateQ and taught.algorithm() is MemorylessSlateQ
