"""A router that looks at the user."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.routers import LinUCBRouter
from recsys_cli.policies.posterior import inverse_factor
from recsys_cli.serving.router.base import Arm, Bools, Floats, Law, Router, State, among, with_floor, with_one


class LinUCB(Router[LinUCBRouter]):
    """LinUCB with disjoint models (Li et al. 2010, algorithm 1), constant during an epoch.

    The distance of a reward from the mean of all is linear in (1, user), with other weights for each policy. The width
    of the bounds is in units of the standard deviation of all rewards: more than the noise, but known from the start.
    """

    by_user = True
    evidence = "with users"

    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """See `Router.freeze`."""
        count = sum(arm.count for arm in arms)
        if not count:
            return {"gram": [], "moment": [], "deviation": 0.0}
        center = float(sum(arm.total for arm in arms) / count)
        size = max(len(arm.moment) for arm in arms if arm.moment is not None)
        grams = [np.zeros((size, size)) if arm.gram is None else arm.gram for arm in arms]
        moments = [np.zeros(size) if arm.moment is None else arm.moment for arm in arms]
        spread = float(sum(arm.squares for arm in arms) / count) - center**2
        return {
            "gram": [gram.tolist() for gram in grams],
            "moment": [(moment - center * gram[0]).tolist() for gram, moment in zip(grams, moments, strict=True)],
            "deviation": sqrt(max(spread, 0.0)),
        }

    def law(self, state: State, enabled: Bools) -> Law:
        """See `Router.law`."""
        if not state["gram"]:
            same = with_floor(enabled / enabled.sum(), self.config.floor)
            return lambda user: np.broadcast_to(same, (len(user), len(same)))
        precision = np.array(state["gram"]) + self.config.ridge * np.eye(len(state["gram"][0]))
        factor = inverse_factor(precision)
        weights = (factor @ (factor.swapaxes(1, 2) @ np.array(state["moment"])[..., None]))[..., 0]
        width = self.config.alpha * state["deviation"]

        def shares(user: NDArray[Any]) -> Floats:
            x = with_one(user)
            bounds = x @ weights.T + width * np.linalg.norm(np.einsum("np,mpq->nmq", x, factor), axis=2)
            return with_floor(among(bounds, enabled), self.config.floor)

        return shares
