"""Learned users whose laws are set by hand, so that what comes of them is known."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from recsys_cli.envs.learned import LearnedProblem
from recsys_cli.envs.learned_files import Model, digest, save
from recsys_cli.envs.learned_laws import (
    Amount,
    Choice,
    Ending,
    Field,
    Linear,
    Offers,
    Reward,
    Start,
    TopicDrift,
)
from recsys_cli.envs.spec import ChoiceSpec, Documents, Features, ProblemSpec, ResponseField

NAME = "learned_users"
TOPICS, CANDIDATES, SLATE = 4, 10, 3
KNOTS = np.array([0.0])
# Of 1; the topics; u . d and its hinge; positions 1 and 2 against 0.
CHOICE = np.array([-0.5, 0.3, 0.0, -0.3, 0.0, 2.0, 0.0, -0.7, -1.4])
MINUTES = np.array([2.0, 1.0, -1.0, 0.0, 0.5])  # of 1 and the topics
LIKED = np.array([-1.0])
END = np.array([-6.0, 0.0, 0.0, 0.6, 0.0])  # of 1, steps, clicks, minutes, liked: a budget of about 10 minutes


def spec() -> ProblemSpec:
    return ProblemSpec(
        name=NAME,
        user=Features.of(TOPICS),
        documents=Documents(Features.of(TOPICS, 0.0, 1.0), topics=TOPICS),
        response=(
            ResponseField("click"),
            ResponseField("minutes", "number", 0.0, 20.0),
            ResponseField("liked"),
            ResponseField("topic", "category", high=TOPICS),
        ),
        slate_size=SLATE,
        num_candidates=CANDIDATES,
        choice=ChoiceSpec(),
        reward="minutes",
    )


def model() -> Model:
    """Return users of four tastes who look at the first position most, and leave after some minutes."""
    rng = np.random.default_rng(0)
    minutes = Amount(
        values=np.array([1.0]),
        switches=(Linear(("one",), np.array([-2.0])),),
        log=False,
        mean=Linear(("one", "item"), MINUTES),
        spread=Linear(("one",), np.array([np.log(0.2)])),
        noise=np.linspace(-1.7, 1.7, 101),
        low=0.0,
        high=20.0,
    )
    liked = Amount(np.array([1.0, 0.0]), (Linear(("one",), LIKED),), False, None, None, np.zeros(1), 0.0, 1.0)
    up_or_down = np.array([0.0, 1.5, 0, 0, 0, 0, 0, 0])
    sizes = np.tile([0.1, 0.0, -0.05, 0.0, 0.0, 0.0], (2, 1))
    return Model(
        spec=spec(),
        knots=KNOTS,
        centre=np.zeros(TOPICS),
        choice=Choice(None, Linear(("one", "item", "match", "position"), CHOICE[None]), np.ones(1)),
        fields=(
            Field("topic", "topic", None),
            Field("minutes", "clicked", minutes),
            Field("liked", "clicked", liked),
        ),
        reward=Reward("minutes", None, 0.0),
        ending=Ending(None, Linear(("one", "totals"), END), 60),
        drift=TopicDrift(None, up_or_down, sizes, np.zeros((2, 1))),
        start=Start(rng.uniform(-1, 1, (50, TOPICS)).astype(np.float32), np.full(TOPICS, 0.1), True),
        offers=Offers(
            rng.integers(TOPICS, size=(20_000, CANDIDATES)).astype(np.uint8), None, np.tile([0, 1, 2], (20_000, 1))
        ),
    )


@cache
def folder() -> Path:
    """Return a folder for `--config-dir` that holds them."""
    path = Path(tempfile.mkdtemp(prefix="recsys-learned-"))
    (path / "env").mkdir()
    saved = save(model(), path / "env" / f"{NAME}.safetensors")
    text = f"""\
# Users set by hand
_target_: recsys_cli.envs.learned.LearnedProblem
name: {NAME}
num_candidates: {CANDIDATES}   # documents to choose from
slate_size: {SLATE}            # documents shown
resample_documents: true       # at every step
backend: native                # the only one
horizon: null                  # steps until an episode is truncated
tensors: {NAME}.safetensors    # what was learned
digest: {saved}               # of that file
"""
    (path / "env" / f"{NAME}.yaml").write_text(text)
    return path


def problem(**changes: object) -> LearnedProblem:
    """Return the problem, without a folder in use."""
    path = folder() / "env" / f"{NAME}.safetensors"
    values = {
        "name": NAME,
        "num_candidates": CANDIDATES,
        "slate_size": SLATE,
        "resample_documents": True,
        "backend": "native",
        "horizon": None,
        "tensors": str(path),
        "digest": digest(path),
    }
    return LearnedProblem(**{**values, **changes})
