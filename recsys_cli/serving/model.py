"""A checkpoint's policy, ready to be served."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.config.notices import warn
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import Floats, Observation
from recsys_cli.policies.exploration import explored
from recsys_cli.policies.memory import Memory
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.twins import twin_of
from recsys_cli.serving.twins.policies import Twin
from recsys_cli.slates.distributions import SlateDistribution
from recsys_cli.tracking.bundle import version_of
from recsys_cli.tracking.loading import Checkpoint, load_checkpoint

NOTHING_JUDGED = (
    "explore=none always shows the same slate for the same request: the service's log will judge no other policy; "
    "explore=epsilon:0.1 or explore=plackett_luce:1.0 lets it"
)


@dataclass(frozen=True)
class Model:
    """A policy ready to be served: any number of users at once, any number of candidates each.

    Nothing in it changes, so several threads may ask it at once.

    Attributes:
        name: of the policy in its service.
        version: see `version_of`.
        algo: the algorithm's name.
        source: where it was loaded from, as the user wrote it.
        spec: the problem, with as many candidates as the policy takes.
        folder: of the bundle.
        policy: what is served, without exploration: NumPy's twin of the algorithm's policy, if it has one.
        explore: how it explores.
        candidates: the fewest and the most that may be shown of one request; None: any number.
        exact: whether probabilities of slates are known; else they would have to be estimated from draws.
        scored: whether it has scores of single items.
    """

    name: str
    version: str
    algo: str
    source: str
    spec: ProblemSpec
    folder: Path
    policy: SlatePolicy
    explore: Explore
    candidates: tuple[int, int | None]
    exact: bool
    scored: bool

    @classmethod
    def load(cls, folder: Path, name: str, source: str, explore: Explore) -> Model:
        """Load a bundle.

        Args:
            folder: the bundle.
            name: of the policy in its service.
            source: where it comes from, for messages and answers.
            explore: how it explores.

        Raises:
            ConfigError: no sound bundle, a policy that acts on what no request holds (an oracle), or one that cannot
                explore in this way.
        """
        checkpoint = load_checkpoint(folder)
        torch_policy, spec, candidates = _least_restricted(checkpoint)
        policy = twin_of(torch_policy)
        law, scored = _tried(policy, explore, spec, checkpoint.name, source)
        # An example's answer shows what kind it is of: certain, random, or known by draws only.
        if explore == NOT_EXPLORING and law.exact and not law.log_prob(law.sample(np.random.default_rng(0))).any():
            warn(NOTHING_JUDGED)
        about = name, version_of(folder), checkpoint.name, source, spec, folder
        return cls(*about, policy, explore, candidates, exact=law.exact, scored=scored)

    def law(self, observation: Observation) -> SlateDistribution:
        """Return what is shown, exploration included.

        Args:
            observation: `user` [N, U], `doc` [N, C, F], `mask` [N, C] of what may be shown, and `memory` if the policy
                has one.

        Returns:
            A distribution over slates of candidates' positions, -1 behind the end of a short one.

        Raises:
            Refused: a number of candidates that the policy does not take.
        """
        return self.answer(observation)[0]

    def scores(self, observation: Observation) -> Floats | None:
        """Return the policy's scores of the candidates, `[N, C]`; None if it has none. Masked ones mean nothing."""
        return self.answer(observation)[1]()

    def answer(self, observation: Observation) -> tuple[SlateDistribution, Callable[[], Floats | None]]:
        """Return `law`, and a function for `scores`; what both need is computed once."""
        policy, seen, candidates = _own(self.policy), self._seen(observation), observation["doc"].shape[1]
        law = explored(self.explore, policy, policy.served, at_once=True)(seen)
        return law, lambda: policy.scores(seen)[:, :candidates] if self.scored else None

    def new_memory(self, users: int) -> Memory:
        """Return the policy's session memory of users, at the start of a session."""
        return self.policy.new_memory(users)

    def _seen(self, observation: Observation) -> Observation:
        """Return the observation as the policy takes it: wide enough, and without a mask if all are there."""
        doc, mask = observation["doc"], np.asarray(observation["mask"], bool)
        least, most = self.candidates
        if least > 1 or most is not None:
            there = mask.sum(1)
            if there.min() < least or mask[:, most:].any():
                raise Refused(400, f"{self.name} (algo={self.algo}) takes requests of {least} to {most} candidates")
            doc, mask = doc[:, :most], mask[:, :most]  # what is beyond was padding
        missing = (most or self.spec.slate_size) - doc.shape[1]
        if missing > 0:
            doc, mask = np.pad(doc, ((0, 0), (0, missing), (0, 0))), np.pad(mask, ((0, 0), (0, missing)))
        elif mask.all():
            return {**{name: value for name, value in observation.items() if name != "mask"}, "doc": doc}
        return {**observation, "doc": doc, "mask": mask}


def _own(policy: SlatePolicy) -> SlatePolicy:
    """Return a policy of one caller's, which may keep what it computes until the next question."""
    return policy.once() if isinstance(policy, Twin) else policy


def _least_restricted(checkpoint: Checkpoint) -> tuple[SlatePolicy, ProblemSpec, tuple[int, int | None]]:
    """Return the policy, for any number of candidates if it allows that, else for at most as many as in training."""
    trained = checkpoint.spec
    free = dataclasses.replace(trained, num_candidates=None, min_candidates=1)
    # Enumerated slates hold as many documents as the user looks at.
    fewer = dataclasses.replace(trained, min_candidates=min(trained.attended, trained.width))
    limits = ((free, (1, None)), (fewer, (trained.attended, trained.width)))
    for spec, candidates in limits:
        with suppress(ConfigError):
            return checkpoint.policy_for(spec), spec, candidates
    return checkpoint.policy, trained, (trained.min_candidates or trained.width, trained.width)


def _tried(
    policy: SlatePolicy, explore: Explore, spec: ProblemSpec, algo: str, source: str
) -> tuple[SlateDistribution, bool]:
    """Return what a policy answers to a made-up request, and whether it has scores.

    Raises:
        ConfigError: it does not answer.
    """
    candidates = spec.num_candidates or spec.slate_size + 1
    space = spec.with_candidates(candidates).observation_space()
    space.seed(0)
    made_up = {name: np.asarray(value)[None] for name, value in space.sample().items() if name in ("user", "doc")}
    observation = policy.new_memory(1).extend(made_up)
    try:
        law = explored(explore, policy, policy.served, at_once=True)(observation)
        law.sample(np.random.default_rng(0))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"checkpoint={source}: algo={algo} cannot be served so: {one_line(error)}") from None
    try:
        policy.scores(observation)
    except ConfigError:
        return law, False
    return law, True
