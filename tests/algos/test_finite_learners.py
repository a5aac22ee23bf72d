"""A training that diverges ends at the update in which it does, in every family; so does one whose runner fails."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from trainings import trainings

from recsys_cli.config.compose import compose
from recsys_cli.policies.item_bandit import ItemBanditPolicy
from recsys_cli.runs.inline import without_ray

SMALL = ("resources.users_per_runner=64", "report_every=2000", "tracking=off", "env.num_candidates=6")
DIVERGING = {
    "slateq": ("algo.learning_starts=500",),
    "full_slate_q": ("algo.learning_starts=500",),
    "dqn": ("algo.learning_starts=500",),  # RLlib takes its values of NaN for 0: the loss stays finite
    "sac": ("algo.learning_starts=500",),
    **dict.fromkeys(("ppo", "reinforce_topk"), ()),
}


ENDED = r"=\S+ in the update after [\d,]+ env steps: the training diverged"


@contextmanager
def diverging(algo, *more):
    """A training whose first gradient step is absurdly large; the command line refuses such a rate."""
    run = compose("train", [f"algo={algo}", *SMALL, *more])
    run.algo.lr = 1e30
    training = run.algo.make_training(run, 0)
    yield training
    training.stop()


@pytest.mark.parametrize("algo", DIVERGING)
def test_a_diverging_training_ends(algo):
    with without_ray(), diverging(algo, *DIVERGING[algo]) as training:
        with pytest.raises(FloatingPointError, match=ENDED):
            training.step()
        assert training.steps < 1500


def test_a_bandit_ends_as_well(monkeypatch):
    monkeypatch.setattr(ItemBanditPolicy, "learn", lambda self, transitions: np.nan)
    monkeypatch.setattr("recsys_cli.algos.bandits.regret.oracle_return", lambda env: None)  # takes seconds
    with without_ray(), trainings("algo=linear_greedy", *SMALL) as make:
        training = make()
        with pytest.raises(FloatingPointError, match="loss=nan in the update after 64 env steps"):
            training.step()


# Some of these documents' scores are too high for this choice model; which, only playing tells.
FAILING = ("env=interest_exploration", "env.choice_model=exponential_cascade", "env.score_scaling=0.1")


@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("algo", ["appo", "impala"])
def test_so_does_one_whose_learner_has_a_thread(algo):
    with diverging(algo) as training, pytest.raises(FloatingPointError, match=ENDED):
        training.step()


@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    "algo", ["impala", *(pytest.param(algo, marks=pytest.mark.slow) for algo in ("slateq", "dqn"))]
)
def test_an_error_in_a_remote_runner_ends_the_training(algo):
    with trainings(f"algo={algo}", *SMALL, *FAILING, "resources.env_runners=1") as make:
        training = make()
        with pytest.raises(Exception, match="choice_model=exponential_cascade is defined") as caught:
            training.step()
        assert "ValueError" in str(caught.value).splitlines()[-1]
