"""The original recsim package behind our interface: N copies of its own environment.

recsim's model stays as it is; its accidents are fixed here: observations are copies (recsim's user observation is its
simulator's own array), types are the declared ones, documents are in an array, every copy has its own seeds, and the
process-wide `np.random` that recsim draws choices from is restored after use.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.recsim_compat import recsim_module
from recsys_cli.envs.spec import DENSE, INDEX
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv

Config = TypeVar("Config", bound=EnvConfig)


class RecsimProblem(ABC, Generic[Config]):
    """How to build and read recsim's environment of one problem."""

    def __init__(self, config: Config) -> None:
        """Take the problem's configuration."""
        self.config = config

    @abstractmethod
    def user_model(self, seed: int) -> Any:
        """Build recsim's user model with the configuration's parameters."""

    @abstractmethod
    def document_sampler(self, seed: int) -> Any:
        """Build recsim's document sampler with the configuration's parameters."""

    @abstractmethod
    def reward(self, responses: Any) -> float:
        """Return the reward of a slate's responses, by recsim's own function."""

    @abstractmethod
    def features(self, document: Any) -> NDArray[Any]:
        """Return one document's features `[F]` from recsim's observation of it."""

    @abstractmethod
    def hidden(self, user: Any, documents: list[Any]) -> dict[str, Any]:
        """Return the hidden state of recsim's user and its candidates."""

    def make(self, user_seed: int, document_seed: int) -> Any:
        """Build recsim's gym environment."""
        inner = recsim_module("simulator.environment").Environment(
            self.user_model(user_seed),
            self.document_sampler(document_seed),
            self.config.spec.width,
            self.config.slate_size,
            resample_documents=self.config.resample_documents,
        )
        return recsim_module("simulator.recsim_gym").RecSimGymEnv(inner, self.reward)


class RecsimVectorEnv(SlateVectorEnv):
    """N copies of recsim's environment; see `SlateVectorEnv` for the interface.

    recsim cannot be saved: `get_state` returns None, and a resumed run starts new episodes.
    """

    def __init__(self, config: EnvConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Prepare; the copies are made when a seed is known."""
        super().__init__(config, num_envs, doc_format)
        self._problem = config.recsim_problem()
        self._copies: list[Any] = []
        self._observed: list[dict[str, Any]] = [{}] * num_envs
        self._stream: dict[str, Any] = {}

    def _reseed(self, seed: int | None) -> None:
        super()._reseed(seed)
        seeds = self.rng.integers(0, 2**32, (self.num_envs, 2)).tolist()
        self._stream = np.random.RandomState(int(self.rng.integers(2**32))).get_state(legacy=False)
        with self._global_stream():
            self._copies = [self._problem.make(*pair) for pair in seeds]

    @contextlib.contextmanager
    def _global_stream(self) -> Iterator[None]:
        """Make `np.random` draw from this env's own stream for recsim; the caller's state is restored."""
        callers = np.random.get_state(legacy=False)
        np.random.set_state(self._stream)
        try:
            yield
        finally:
            self._stream = np.random.get_state(legacy=False)
            np.random.set_state(callers)

    def _start(self, rows: Rows) -> None:
        with self._global_stream():
            for row in rows:
                self._observed[row] = self._copies[row].reset()

    def _draw_candidates(self) -> None:
        """Do nothing: recsim draws candidates itself, in `reset` and `step`."""

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        response, reward = self._no_response(), np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, np.bool_)
        rows = range(self.num_envs) if active is None else np.flatnonzero(active)
        with self._global_stream(), _choice_errors():
            for row in rows:
                self._observed[row], reward[row], terminated[row], _ = self._copies[row].step(slates[row])
                for position, item in enumerate(self._observed[row]["response"]):
                    for key, value in item.items():
                        response[key][row, position] = value
        return response, reward, terminated

    def _user(self) -> NDArray[np.float32]:
        return np.array([observed["user"] for observed in self._observed], np.float32)

    def _documents(self) -> NDArray[Any]:
        features = np.array(
            [
                [self._problem.features(document) for document in observed["doc"].values()]
                for observed in self._observed
            ],
            np.float32,
        )
        if self.doc_format == INDEX:
            return features.argmax(axis=-1).astype(self.problem.documents.number_dtype)
        return features

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return the same keys as the native back end."""
        users = [
            self._problem.hidden(
                copy.environment.user_model._user_state, copy.environment.candidate_set.get_all_documents()
            )
            for copy in self._copies
        ]
        return {key: np.array([user[key] for user in users]) for key in users[0]}

    def get_state(self) -> dict[str, Any] | None:
        """Return None: recsim cannot be saved."""
        return None


@contextlib.contextmanager
def _choice_errors() -> Iterator[None]:
    """Turn the assertion of recsim's choice models into the ValueError of our interface."""
    try:
        yield
    except AssertionError as failure:
        raise ValueError(f"recsim's choice model refuses the user's scores: {failure}") from failure
