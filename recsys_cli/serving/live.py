"""The live policies of one process: loaded from the service's pointer, and swapped while requests go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.notices import warn
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving.folder import Pointed, ServiceFolder, sizes
from recsys_cli.serving.model import Model
from recsys_cli.serving.sessions.memories import Memories


@dataclass(frozen=True)
class LiveSet:
    """Policies that are live at the same time, which never changes: a request is answered by one such set.

    Attributes:
        models: the first is the control.
        memories: what they remember of sessions.
    """

    models: tuple[Model, ...]
    memories: Memories

    @property
    def spec(self) -> ProblemSpec:
        """The problem, which is the same for all."""
        return self.models[0].spec

    @cached_property
    def typical_user(self) -> NDArray[np.float32]:
        """Features in the middle of their bounds, `[1, U]`, for shares that are shown."""
        low, high = (np.clip(np.nan_to_num(bound), -1e6, 1e6) for bound in self.spec.user.bounds)
        return ((low + high) / 2).astype(np.float32)[None]


class Live:
    """The live set, kept in step with the pointer.

    Attributes:
        now: the set that answers.
    """

    def __init__(
        self, folder: ServiceFolder, explore: Explore, swapped: Callable[[LiveSet], None] = lambda live: None
    ) -> None:
        """Load the policies.

        Args:
            folder: of the service.
            explore: how they explore.
            swapped: is called with each new set.

        Raises:
            ConfigError: a policy that cannot be served, or policies of different problems.
        """
        self._folder, self._explore, self._swapped = folder, explore, swapped
        self._lock = threading.Lock()  # loads come from the poll and from requests
        self._seen = self._stamp()
        self.now = self._load(folder.pointed(), {})

    def poll(self) -> bool:
        """Load what the pointer names anew; return whether it did. A policy that cannot be loaded is left out."""
        with self._lock:
            if (stamp := self._stamp()) == self._seen:
                return False
            try:
                new = self._load(self._folder.pointed(), {model.name: model for model in self.now.models})
            except (ConfigError, OSError) as error:
                warn(f"{error}; the policies stay as they are")
                self._seen = stamp
                return False
            self._swapped(new)  # first: the log names policies before what they decide
            self.now, self._seen = new, stamp
        return True

    def _stamp(self) -> tuple[int, int]:
        status = self._folder.pointer.stat()
        return status.st_mtime_ns, status.st_ino

    def _load(self, pointed: list[Pointed], loaded: Mapping[str, Model]) -> LiveSet:
        models = []
        for each in pointed:
            before = loaded.get(each.name)
            if before is not None and before.version == each.version:
                models.append(before)
            else:
                bundle = self._folder.bundle(each.name, each.version)
                models.append(Model.load(bundle, each.name, each.source, self._explore))
        for model in models[1:]:
            require_same_problem(models[0], model)
        return LiveSet(tuple(models), Memories(models))


def require_same_problem(first: Model, other: Model) -> None:
    """Refuse to serve policies of different problems together.

    Raises:
        ConfigError: says what differs.
    """
    for what, size in sizes(first.spec).items():
        if sizes(other.spec)[what] != size:
            raise ConfigError(
                f"checkpoint={other.source}: {other.name} has {what} {sizes(other.spec)[what]}, and {first.name} has "
                f"{size}: policies of one service answer the same requests"
            )


class AliasWatcher:
    """Follows references that may come to name another version, such as `models:/slateq@champion`."""

    def __init__(self, folder: ServiceFolder, find: Callable[[str], Path]) -> None:
        """Take the service's folder, and the function from a reference to a bundle's folder."""
        self._folder, self._find = folder, find

    @property
    def needed(self) -> bool:
        """Whether any policy is named by an alias."""
        return any(_may_change(each.source) for each in self._folder.pointed())

    def step(self) -> None:
        """Point at the versions that aliases name now; what cannot be found stays as it is, with a warning."""
        for each in self._folder.pointed():
            if not _may_change(each.source):
                continue
            try:
                self._folder.swap(self._folder.adopt(each.name, each.source, self._find(each.source)))
            except (ConfigError, OSError) as error:
                warn(f"{error}; {each.name} stays at version {each.version}")


def _may_change(source: str) -> bool:
    return source.startswith("models:/") and ("@" in source or source.endswith("/latest"))
