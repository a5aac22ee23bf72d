"""What the page shows of a running service, asked for once a second by every open page."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving.watching.drift import LIMIT

if TYPE_CHECKING:
    from recsys_cli.serving.service import Service

FRESH_SECONDS = 0.9  # in which all pages get the same answer


class State:
    """The answer to `GET /ui/state`, made at most once a second."""

    def __init__(self, service: Service, simulated: bool) -> None:
        """Take the service, and whether its users can be simulated."""
        self._service, self._problem = service, _problem(service.spec, simulated)
        self._made, self._body, self._id = -np.inf, b"", secrets.token_hex(4)

    def body(self) -> bytes:
        """Return it as JSON."""
        now = time.monotonic()
        if now - self._made >= FRESH_SECONDS:
            self._made, self._body = now, msgspec.json.encode(self._values())
        return self._body

    def _values(self) -> dict[str, Any]:
        service = self._service
        readings, switches = service.statistics.read(), service.router.now.switches
        policies = readings.policies
        return {
            "problem": self._problem,
            "router": {
                "name": policies.router,
                "mode": service.router.mode,
                "epoch": policies.epoch,
                "unit": service.config.router.unit,
                "only_control": switches.only_control,
                "drift_limit": LIMIT,
            },
            "policies": [
                {
                    **{name: getattr(policy, name) for name in ("name", "version", "algo", "share", "control")},
                    "enabled": policy.control or policy.name not in switches.disabled,
                    "reward": readings.rewards.get(policy.name),
                }
                for policy in policies.policies
            ],
            "lag": readings.bookkeeping_lag,
            "process": {"id": self._id, **service.statistics.snapshot()},
        }


def _problem(spec: ProblemSpec, simulated: bool) -> dict[str, Any]:
    low, high = (np.clip(bound, -1e6, 1e6).tolist() for bound in spec.user.bounds)
    return {
        "name": spec.name,
        "slate_size": spec.slate_size,
        "simulated": simulated,
        "user": {"names": list(spec.user.names), "low": low, "high": high},
        "example": example_of(spec),
    }


def example_of(spec: ProblemSpec) -> dict[str, Any]:
    """Return a request that the service takes: features inside their bounds."""
    size, topics = spec.slate_size + 3, spec.documents.topics
    doc = np.array([_within(spec.documents.features, (row + 1) / (size + 1)) for row in range(size)])
    if topics:
        doc[:, :topics] = np.eye(topics)[np.arange(size) % topics]
    candidates = [{"id": f"document-{row + 1}", "features": values} for row, values in enumerate(doc.tolist())]
    return {"user": _within(spec.user, 0.5).tolist(), "candidates": candidates}


def _within(features: Features, fraction: float) -> NDArray[Any]:
    low, high = (np.clip(bound, -1, 1) if np.isinf(bound).any() else bound for bound in features.bounds)
    return np.round(low + fraction * (high - low), 4)
