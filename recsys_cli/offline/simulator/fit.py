"""A simulator from a log: forms by held-out likelihood, then all laws in these forms."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.learned_files import Model
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.simulator import choice, responses, states
from recsys_cli.offline.simulator.estimation import Form
from recsys_cli.offline.simulator.log import Log
from recsys_cli.offline.steps import Steps, concatenate, fold_of

FOLDS = 5  # of which one is held out
FEWEST_SESSIONS = 10
GRAIN = 1 << 20  # parts that sessions are divided into, by number, to draw some of them


@dataclass(frozen=True)
class Plan:
    """The forms of all laws."""

    choice: choice.ChoicePlan
    responses: responses.ResponsePlan
    ending: states.EndingPlan
    drift: states.DriftPlan


@dataclass(frozen=True)
class Fitted:
    """What came of a log.

    Attributes:
        model: fitted to all sessions.
        trained: the same forms, fitted to all but the held-out sessions.
        forms: that were tried.
        train: the sessions fitted to.
        test: the held-out sessions.
    """

    model: Model
    trained: Model
    forms: list[Form]
    train: Log
    test: Log

    @property
    def sessions(self) -> int:
        """All sessions."""
        return self.train.sessions + self.test.sessions

    @property
    def steps(self) -> int:
        """Steps of all sessions."""
        return len(self.train) + len(self.test)


def sample(dataset: Dataset, rows: int | None, seed: int) -> Steps:
    """Return whole sessions of a data set, drawn at random if they are more than about so many steps.

    Memory is that of what is returned. A session is drawn by its number alone.
    """
    share = 1.0 if rows is None else min(1.0, rows / max(dataset.steps, 1))
    parts = []
    for batch in dataset.batches():
        drawn = fold_of(batch.episode[batch.starts], GRAIN, seed + 1) < share * GRAIN
        if drawn.any():
            parts.append(batch.episodes(drawn))
    if not parts:
        raise ConfigError(f"data set {dataset.folder} is empty, or rows={rows} hold no session of it")
    return concatenate(parts)


def fit_simulator(steps: Steps, spec: ProblemSpec, known: choice.Known = "auto") -> Fitted:
    """Fit a simulator.

    Args:
        steps: whole sessions.
        spec: the problem.
        known: see `choice.plan_choice`.

    Raises:
        ConfigError: too few sessions, or a log that users cannot be simulated from.
    """
    if len(steps.starts) < FEWEST_SESSIONS:
        raise ConfigError(
            f"data: {len(steps.starts)} sessions are too few for a simulator, which is checked on a fifth of them; "
            f"at least {FEWEST_SESSIONS} are needed"
        )
    held = fold_of(steps.episode[steps.starts], FOLDS) == 0
    if held.all() or not held.any():
        held[: max(1, len(held) // FOLDS)] = True
        held[max(1, len(held) // FOLDS) :] = False
    train = Log.of(steps.episodes(~held), spec)
    test = Log.of(steps.episodes(held), spec, train.basis)
    plan, forms = plan_laws(train, test, known)
    return Fitted(fit_laws(Log.of(steps, spec), plan), fit_laws(train, plan), forms, train, test)


def plan_laws(train: Log, test: Log, known: choice.Known) -> tuple[Plan, list[Form]]:
    """Choose the forms of all laws by the likelihood of held-out sessions."""
    choice_plan, of_choice = choice.plan_choice(train, test, known)
    response_plan, of_responses = responses.plan_responses(train, test)
    ending_plan, of_ending = states.plan_ending(train, test)
    drift_plan, of_drift = states.plan_drift(train, test)
    _, of_start = states.fit_start(train)
    plan = Plan(choice_plan, response_plan, ending_plan, drift_plan)
    return plan, [*of_choice, *of_responses, *of_ending, *of_drift, *of_start]


def fit_laws(log: Log, plan: Plan) -> Model:
    """Fit all laws in given forms."""
    fields, reward = responses.fit_responses(log, plan.responses)
    return Model(
        spec=log.spec,
        knots=log.basis.knots,
        centre=log.basis.centre,
        choice=choice.fit_choice(log, plan.choice),
        fields=fields,
        reward=reward,
        ending=states.fit_ending(log, plan.ending),
        drift=states.fit_drift(log, plan.drift),
        start=states.fit_start(log)[0],
        offers=states.fit_offers(log),
    )
