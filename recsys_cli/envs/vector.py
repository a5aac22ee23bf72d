"""N independent users in lock-step: the loop, the spaces and the checks that all problems share."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import error, spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from recsys_cli.envs.recycling import RecycledArrays
from recsys_cli.envs.returned import Returned
from recsys_cli.envs.slate_space import SlateSpace, refuse_repeats, refuse_short_slates, refuse_unknown
from recsys_cli.envs.spec import DENSE

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig

Response = dict[str, NDArray[Any]]
Observation = dict[str, Any]
Rows = NDArray[np.intp]
Advance = tuple[Response, NDArray[np.float64], NDArray[np.bool_]]


class SlateVectorEnv(VectorEnv[Observation, NDArray[Any], NDArray[Any]], ABC):
    """N users of one problem, stepped together; a run is a pure function of configuration, seed and actions.

    Observation: `user` float32 `[N, U]`, `doc` float32 `[N, C, F]` (with `doc_format="index"` the numbers of topics or
    items, `[N, C]`), `response` arrays `[N, k]` about the previous slate, zeros at reset. Action: `[N, k]` candidate
    numbers, no candidate twice. Reward: float64 `[N]`. Arrays handed out are never written to again.

    If the number of candidates varies, observations also hold `mask` bool `[N, C]`, which candidates are present; the
    features of others are zeros. A slate holds as many of them as there are, up to k, and is padded with -1.

    Autoreset is gymnasium's NEXT_STEP: the step that ends a user's episode returns its true last observation; the next
    step ignores that user's action and returns a new user's first observation with reward 0.

    Hidden state is in neither observation nor info; oracles and tests ask `hidden_state`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": [],
    }
    # Names of what `get_state` saves: the arrays that hold a problem's users and candidates, and its `Ahead`s.
    state_arrays: ClassVar[tuple[str, ...]] = ()
    draws_ahead: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: EnvConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Build the spaces; users exist from the first `reset` on.

        Raises:
            ValueError: fewer than one user.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs} must be at least 1")
        self.config, self.num_envs, self.doc_format = config, num_envs, doc_format
        self.problem = spec = config.spec  # `spec` is gymnasium's own
        self.single_observation_space = spec.observation_space(doc_format)
        self.single_action_space = SlateSpace(spec.width, spec.slate_size, shorter=spec.varying)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._response_dtypes = {key: space.dtype for key, space in spec.response_space().items()}
        doc = self.single_observation_space["doc"]
        self._document_memory = RecycledArrays((num_envs, *doc.shape), doc.dtype)  # type: ignore[misc]
        self._offsets = self._row_starts(spec.width)
        self._mask: NDArray[np.bool_] | None = None
        self._ended, self._steps = np.zeros(num_envs, np.bool_), np.zeros(num_envs, np.int64)
        self._response: Response = {}
        self._returned, self._alike = Returned(self), 1

    @cached_property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """The batched observation space; built when asked for, as its bounds take the room of five observations."""
        return batch_space(self.single_observation_space, self.num_envs)  # type: ignore[return-value]

    # What a problem defines -------------------------------------------------------------------------------------

    @abstractmethod
    def _start(self, rows: Rows) -> None:
        """Give the rows `[n]` new users."""

    @abstractmethod
    def _draw_candidates(self) -> None:
        """Draw all users' candidates, for each user independently."""

    @abstractmethod
    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        """Let the users respond to `slates` `[N, k]` and change.

        Rows with `active` False (None: all are active) hold a placeholder slate and are overwritten afterwards.
        Positions without a document hold -1; their response is overwritten with zeros.

        Returns:
            Response (arrays `[N, k]`), reward `[N]`, terminated `[N]`, all freshly made.
        """

    @abstractmethod
    def _user(self) -> NDArray[np.float32]:
        """Return a copy of the users' observed features `[N, U]`."""

    @abstractmethod
    def _documents(self) -> NDArray[Any]:
        """Return the candidates' observation, `[N, C, F]` or, by index, `[N, C]`, in memory nobody else holds."""

    @abstractmethod
    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of the hidden state, `[N, ...]` each, for oracles and tests."""

    # gymnasium's interface --------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all users again.

        Args:
            seed: restarts the random stream; without it the stream continues (the first time: from fresh entropy).
                With `resample_documents=false` candidates are redrawn only with a seed.
            options: unused.
        """
        fresh = seed is not None or not self._response
        if fresh:
            self._reseed(seed)
        self._start(np.arange(self.num_envs))
        if fresh or self.problem.resample_documents:
            self._offer()
        if self._alike > 1:
            self._start_alike()
        self._ended, self._steps = np.zeros_like(self._ended), np.zeros_like(self._steps)
        self._response = self._no_response()
        observation = self.observe()
        self._returned.look(self, observation)
        return observation, {}

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Show the slates and return the next observation, reward, terminated, truncated, info (empty).

        Args:
            actions: `[N, k]` candidate numbers; ignored for users whose episode ended at the previous step.

        Raises:
            ValueError: wrong shape or type, a number out of range, a candidate twice in one slate, or scores for
                which the choice model is not defined.
            ConfigError: the problem's own methods return something that its spec does not declare.
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if not self._response:
            raise error.ResetNeeded("call reset before step")
        starting = self._ended.nonzero()[0]
        slates = self._checked(actions, starting)
        response, reward, terminated = self._returned.advance(
            self._advance(slates, ~self._ended if starting.size else None)
        )
        self._steps += 1
        if self._mask is not None:
            for values in response.values():
                values[slates < 0] = 0
        if starting.size:
            self._start(starting)
            self._steps[starting] = 0
            reward[starting], terminated[starting] = 0.0, False
            for values in response.values():
                values[starting] = 0
        if self.problem.resample_documents:
            self._offer()
        truncated = self._truncated(terminated)
        self._ended, self._response = terminated | truncated, response
        observation = self.observe()
        self._returned.look(self, observation, reward, terminated, *response.values())
        return observation, reward, terminated, truncated, {}

    def truncate(self, users: NDArray[np.integer]) -> None:
        """Truncate these users' episodes at the step just made; the next one begins new episodes."""
        self._ended[users] = True

    def truncate_after(self, steps: int) -> None:
        """Truncate every episode after so many steps, if the problem itself does not do so earlier."""
        own = self.problem.truncation
        self.problem = dataclasses.replace(self.problem, truncation=min(steps, own or steps))

    def renew_chances(self, seed: np.random.SeedSequence) -> None:
        """Go on with the same users, whose chances from now on are those of another random stream."""
        self._np_random = np.random.Generator(np.random.SFC64(seed))
        for name in self.draws_ahead:
            getattr(self, name).clear()

    def share_chances(self, alike: int) -> None:
        """Give every so many neighbours common random numbers, as far as the problem can, from the next `reset` on."""
        self._alike = alike
        for name in self.draws_ahead:
            getattr(self, name).share(alike)

    def _start_alike(self) -> None:
        """Give neighbours who share their chances the same start."""
        for name in (*self.state_arrays, "_mask"):
            if (first := getattr(self, name)) is not None:
                setattr(self, name, first[:: self._alike].repeat(self._alike, axis=0))

    def observe(self) -> Observation:
        """Return the current observation again, in fresh arrays (for example after `set_state`)."""
        response = {key: values.copy() for key, values in self._response.items()}
        user, doc = self._returned.user.of(self._user()), self._returned.documents.of(self._documents())
        observation: Observation = {"user": user, "doc": doc, "response": response}
        if self._mask is not None:
            observation["doc"][~self._mask] = 0
            observation["mask"] = self._mask.copy()
        return observation

    @property
    def group(self) -> NDArray[np.str_] | None:
        """Each user's group, `[N]`, if the problem has groups of users."""
        return None

    def get_state(self) -> dict[str, Any] | None:
        """Return all that a bit-for-bit continuation needs: arrays, numbers, strings and dicts of them.

        None means that the back end cannot be saved (`recsim`): such a run starts new episodes when resumed.
        """
        arrays = {name: getattr(self, name) for name in (*self.state_arrays, "_mask")}
        return {
            "rng": self.rng.bit_generator.state,
            "ended": self._ended.copy(),
            "steps": self._steps.copy(),
            "response": {key: values.copy() for key, values in self._response.items()},
            "arrays": {name: values.copy() for name, values in arrays.items() if values is not None},
            "ahead": {name: getattr(self, name).left.copy() for name in self.draws_ahead},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly from `get_state`; `observe` returns the observation at that point."""
        self._np_random = np.random.Generator(np.random.SFC64())
        self._np_random.bit_generator.state = state["rng"]
        self._ended, self._steps = state["ended"].copy(), state["steps"].copy()
        self._response = {key: values.copy() for key, values in state["response"].items()}
        for name in (*self.state_arrays, "_mask"):
            values = state["arrays"].get(name)
            setattr(self, name, None if values is None else values.copy())
        for name in self.draws_ahead:
            getattr(self, name).left = state["ahead"][name].copy()

    @property
    def rng(self) -> np.random.Generator:
        """The env's own random stream."""
        assert self._np_random is not None, "reset before drawing"
        return self._np_random

    def _offer(self) -> None:
        """Draw the candidates and, if that varies, how many there are."""
        self._draw_candidates()
        if self.problem.varying:
            assert self.problem.min_candidates is not None
            there = self.rng.integers(self.problem.min_candidates, self.problem.width + 1, self.num_envs)
            self._mask = np.arange(self.problem.width) < there[:, None]

    def _reseed(self, seed: int | None) -> None:
        self.renew_chances(np.random.SeedSequence(seed))
        self._np_random_seed = seed

    def _shown(self, slates: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Return which positions of `slates` hold a document, `[N, k]`; None: all do."""
        return None if self._mask is None else slates >= 0

    def _row_starts(self, row_length: int) -> NDArray[np.intp]:
        """Return where each user's row starts in a flattened `[N, row_length]`, once per slate position: `[N, k]`."""
        return np.repeat(np.arange(self.num_envs)[:, None] * row_length, self.config.slate_size, axis=1)

    def _no_response(self) -> Response:
        shape = (self.num_envs, self.config.slate_size)
        return {key: np.zeros(shape, dtype) for key, dtype in self._response_dtypes.items()}

    def _truncated(self, terminated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.problem.truncation is None:
            return np.zeros(self.num_envs, np.bool_)
        return (self._steps >= self.problem.truncation) & ~terminated

    def _checked(self, actions: NDArray[np.integer], ignored: Rows) -> NDArray[np.intp]:
        """Return the actions as `[N, k]` intp, rows `ignored` replaced by a placeholder; refuse invalid slates."""
        given, shape = np.asarray(actions), (self.num_envs, self.problem.slate_size)
        if given.shape != shape:
            raise ValueError(f"actions have shape {given.shape} and must have [num_envs, slate_size] = {shape}")
        if given.dtype.kind not in "iu":
            raise ValueError(f"actions have dtype {given.dtype} and must be integers")
        slates = given.astype(np.intp)
        if self._mask is not None:
            first = np.arange(shape[1])
            slates[ignored] = np.where(first < self._mask[ignored].sum(axis=1)[:, None], first, -1)
            refuse_short_slates(slates, self._mask)
            return slates
        if ignored.size:
            slates[ignored] = np.arange(shape[1])
        refuse_unknown(slates, self.problem.width)
        refuse_repeats(slates)
        return slates
