"""What a replica knows of the router: the probabilities of the current epoch, and what people switched off.

Both are files in the service's folder that are looked at every `serving.poll_seconds`: `router.json`, which the
bookkeeper writes at the end of every epoch, and `switches.json`, which `PUT /v1/router` writes. Deciding needs no
database, and neither does the kill switch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.routers import RouterConfig
from recsys_cli.files import read_if_sound, read_json, update_json
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import RouterChange
from recsys_cli.serving.router.base import Arm, Bools, Floats, Law
from recsys_cli.serving.router.build import build_router

FILE, SWITCHES, BOOKKEEPING = "router.json", "switches.json", "bookkeeper.json"
ONLY_CONTROL = "only_control"


@dataclass(frozen=True)
class Switches:
    """What people switched.

    Attributes:
        disabled: policies that must not be chosen.
        only_control: whether the kill switch is on: nobody but the control is chosen.
    """

    disabled: frozenset[str] = frozenset()
    only_control: bool = False

    @classmethod
    def of(cls, values: dict[str, Any]) -> Switches:
        """Read the content of `switches.json`: `{"only_control": [on, ms], "policy <name>": [enabled, ms]}`."""
        disabled = (name for name, (on, _) in values.items() if name != ONLY_CONTROL and not on)
        return cls(frozenset(name.removeprefix("policy ") for name in disabled), values.get(ONLY_CONTROL, [False])[0])

    def allows(self, names: Sequence[str]) -> Bools:
        """Return which policies may be chosen, `[M]`; the first, the control, always may."""
        return np.array([not m or not (self.only_control or name in self.disabled) for m, name in enumerate(names)])


@dataclass(frozen=True)
class Epoch:
    """An epoch's probabilities under the current switches; it never changes, so a request reads it once.

    Attributes:
        number: of the epoch; 0 before the first has ended.
        switches: what people switched.
        report: statistics of the policies, and the router's own words about them.
        law: see `weights`.
    """

    number: int
    switches: Switches
    report: dict[str, Any] = field(hash=False)
    law: Law

    def weights(self, user: NDArray[Any]) -> Floats:
        """Return the probabilities of the policies, `[N, M]`, for users with features `[N, U]`."""
        return self.law(user)


class RouterView:
    """The router of a service, as its replicas see it. Safe among threads.

    Attributes:
        names: of the policies; the first is the control.
        mode: see `Router.mode`.
        now: the current epoch.
    """

    def __init__(self, folder: Path, config: RouterConfig, names: Sequence[str]) -> None:
        """Read what is there.

        Raises:
            ConfigError: settings that do not fit the number of policies.
        """
        self._folder, self._router = folder, build_router(config, names)
        self.names, self.mode = self._router.names, self._router.mode
        self._stamps: tuple[int, ...] = ()
        self._written: dict[str, Any] = {}
        self._switches = Switches()
        self.now = self._epoch()
        self.poll()

    @property
    def epoch(self) -> int:
        """The number of the current epoch."""
        return self.now.number

    def weights(self, user: NDArray[Any]) -> Floats:
        """See `Epoch.weights`; for a number that belongs to them, read `now` once."""
        return self.now.weights(user)

    def lag_seconds(self) -> float | None:
        """Return for how long the router has not learned from what was logged; None if it never did."""
        caught_up_ms = read_if_sound(self._folder / BOOKKEEPING).get("caught_up_ms")
        return max(0.0, time.time() - caught_up_ms / 1000) if caught_up_ms else None

    def poll(self) -> bool:
        """Look at the files; return whether anything changed. Of a file that cannot be read, the last state stays."""
        stamps = tuple(_stamp(self._folder / name) for name in (FILE, SWITCHES))
        if stamps == self._stamps:
            return False
        try:
            self._written = read_json(self._folder / FILE, {})
            self._switches = Switches.of(read_json(self._folder / SWITCHES, {}))
        except (ConfigError, OSError):
            return False
        self._stamps, self.now = stamps, self._epoch()
        return True

    def change(self, change: RouterChange) -> None:
        """Switch policies on or off, for all replicas and through restarts.

        Raises:
            Refused: a policy that is not there, or that is the control.
        """
        wanted = {name: False for name in change.disable} | {name: True for name in change.enable}
        if set(change.disable) & set(change.enable):
            raise Refused(422, "a policy cannot be both in `disable` and in `enable`")
        if not set(wanted) <= set(self.names):
            raise Refused(404, f"no such policy; there are: {', '.join(self.names)}")
        if self.names[0] in change.disable:
            raise Refused(422, "the control cannot be disabled; all others can, or `only_control`")
        new: dict[str, bool] = {f"policy {name}": on for name, on in wanted.items()}
        if change.only_control is not None:
            new[ONLY_CONTROL] = change.only_control
        update_json(self._folder / SWITCHES, lambda values: _switch(values, new))
        self.poll()

    def _epoch(self) -> Epoch:
        written, router = self._written, self._router
        same = written.get("router") == router.config.name and tuple(written.get("names", ())) == self.names
        state = written["state"] if same else router.freeze([Arm()] * len(self.names), {})
        law = router.law(state, self._switches.allows(self.names))
        return Epoch(written.get("epoch", 0), self._switches, written.get("report", {}), law)


def _switch(values: dict[str, Any], new: dict[str, bool]) -> None:
    """Change switches in place; each carries its time, in ms, which always grows."""
    for name, on in new.items():
        values[name] = [on, max(int(time.time() * 1000), values.get(name, [on, 0])[1] + 1)]


def _stamp(path: Path) -> int:
    try:
        stat = path.stat()
    except OSError:
        return 0
    return hash((stat.st_mtime_ns, stat.st_ino, stat.st_size))
