"""Is it the users of the log? Held-out sessions beside simulated ones, and what a simulator must not be trusted for."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_cli.envs.learned import LearnedProblem
from recsys_cli.envs.learned_files import Model, save
from recsys_cli.envs.learned_session import Floats
from recsys_cli.envs.vector import SlateVectorEnv
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.simulator.fit import Fitted
from recsys_cli.offline.simulator.log import Log
from recsys_cli.offline.simulator.statistics import Check, compare, statistics
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import GreedyPolicy, Observation

RARE = 30  # clicks below which a topic or item is hardly known


@dataclass(frozen=True)
class Checked:
    """The comparison of held-out with simulated sessions.

    Attributes:
        sessions: that were held out.
        simulated: that were played.
        policy: whose slates simulated users saw.
        checks: statistic by statistic.
        verdict: what follows, and what the simulator must not be trusted for, in words.
        logged: every statistic of the held-out sessions (see `statistics`).
        played: and of the simulated ones.
    """

    sessions: int
    simulated: int
    policy: str
    checks: list[Check]
    verdict: list[str]
    logged: dict[str, Floats]
    played: dict[str, Floats]


class LoggedSlates(GreedyPolicy):
    """Shows the slate that the log showed of the same candidates: plays in learned users only, who are offered them."""

    def __init__(self, model: Model) -> None:
        """Take the log's slates."""
        self.slate_size = model.spec.slate_size
        self._logged = model.offers.slates
        self._vec: SlateVectorEnv | None = None

    def watch(self, env: SlateVectorEnv) -> None:
        """See `SlatePolicy.watch`."""
        self._vec = env

    def slates(self, observation: Observation) -> np.ndarray:
        """See `GreedyPolicy.slates`."""
        assert self._vec is not None
        return np.asarray(self._logged[self._vec.hidden_state()["set"]])


def problem_of(model: Model, name: str, tensors: Path, digest: str) -> LearnedProblem:
    """Return the problem whose users a file holds."""
    spec = model.spec
    fewest = spec.min_candidates
    return LearnedProblem(
        name=name,
        num_candidates=spec.width if fewest is None else [fewest, spec.width],
        slate_size=spec.slate_size,
        resample_documents=spec.resample_documents,
        backend="native",
        horizon=spec.truncation,
        tensors=str(tensors),
        digest=digest,
    )


def check(fitted: Fitted, behaviour: SlatePolicy | None, *, sessions: int, seed: int) -> Checked:
    """Play the users that were fitted without the held-out sessions, and compare.

    Args:
        fitted: the simulator.
        behaviour: the policy that logged; None: slates are drawn as logged, with the candidates they were chosen from.
        sessions: to simulate.
        seed: of the simulation.
    """
    model = fitted.trained
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users.safetensors"
        env = problem_of(model, "learned", path, save(model, path))
        steps = play_round(behaviour or LoggedSlates(model), env, sessions, seed, 0)
    played = Log.of(steps, model.spec, fitted.train.basis)
    logged, simulated = statistics(fitted.test, model), statistics(played, model)
    checks = compare(logged, simulated)
    policy = "logged slates, drawn with their candidates" if behaviour is None else "the policy that logged"
    verdict = [*_differences(checks), *_limits(fitted, behaviour is not None)]
    return Checked(fitted.test.sessions, sessions, policy, checks, verdict, logged, simulated)


def _differences(checks: list[Check]) -> list[str]:
    wrong = [check for check in checks if not check.equal]
    lines = []
    hidden = [check.name for check in wrong if check.name.startswith("lasting")]
    if hidden:
        lines.append(
            f"users have a state that neither features nor session show ({' and '.join(hidden)} differ): do not trust "
            "it for policies that find out about users"
        )
    others = [check.name for check in wrong if check.name not in hidden]
    if others:
        lines.append(f"not the log's users: {', '.join(others)} differ; do not trust any comparison that turns on them")
    if not wrong:
        total = checks[0]
        share = total.visible / max(abs(total.logged), 1e-12)
        lines.append(
            f"no difference found under the policy that logged; a difference of {share:.1%} of the return would be seen"
        )
    return lines


def _limits(fitted: Fitted, replayed: bool) -> list[str]:
    """Return what the log cannot know, in words and numbers."""
    model, train, lines = fitted.model, fitted.train, []
    if not replayed:
        lines.append("the policy that logged is not known: if it looked at the user, differences may be its own")
    lines += _rare(train)
    amounts = [amount for amount in (model.reward.amount, *(field.amount for field in model.fields)) if amount]
    laws = [model.choice.logit, *(amount.mean for amount in amounts)]
    if any(law is not None and "recent" in law.blocks for law in laws):
        lines.append(
            "choice or response follow the documents clicked recently: a policy that shows the same again and again "
            "pushes them beyond the log; trust the order of such policies, not their returns"
        )
    ending = model.ending
    if ending.hazard is not None:
        lengths = train.steps.lengths
        names = ", ".join(("steps", "clicks", *train.basis.counted))
        lines.append(
            f"sessions end by {' + '.join(ending.hazard.blocks)} ({names}), extrapolated beyond the log's "
            f"{lengths.min():,} to {lengths.max():,} steps: returns of policies that spend sessions otherwise are less "
            "certain than their order"
        )
    elif ending.length is None:
        lines.append("no session of the log ended by itself: nothing is known about what makes users leave")
    if len(train.spec.user) and not model.start.bandwidth.any():
        lines.append(f"first users are those of {len(model.start.users):,} logged sessions, again and again")
    lines.append("candidates are the log's, whatever the user: a retrieval that depends on the user is not simulated")
    return lines


def _rare(train: Log) -> list[str]:
    """Return a line about topics or items that were hardly clicked."""
    documents = train.spec.documents
    if not documents.numbers and not documents.topics:
        return []
    what = "items" if documents.items is not None else "topics"
    at = train.steps.clicked[train.clicks]
    doc = train.steps.doc[train.clicks, train.steps.slate[train.clicks, at].astype(np.int64)]
    numbers = doc.astype(np.int64) if documents.items is not None else documents.topics_of(doc)
    clicks = np.bincount(numbers, minlength=documents.numbers or documents.topics)
    rare = np.flatnonzero(clicks < RARE)
    if not rare.size:
        return []
    some = ", ".join(map(str, rare[:8])) + (", ..." if rare.size > 8 else "")
    known = f"{rare.size:,} of {len(clicks):,} {what} have fewer than {RARE} clicks ({some})"
    return [f"{known}: do not trust it for policies that show them"]
