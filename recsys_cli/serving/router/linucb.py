"""A router that looks at the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.routers import LinUCBRouter
from recsys_cli.policies.posterior import LinearRegressions
from recsys_cli.serving.router.base import Arm, Bools, Floats, Law, Router, State, among, with_floor, with_one


class LinUCB(Router[LinUCBRouter]):
    """LinUCB with disjoint models (Li et al. 2010, algorithm 1), constant during an epoch.

    The reward is linear in (1, user), with other weights for each policy; the width of the bounds is in units of the
    estimated noise.
    """

    by_user = True

    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """See `Router.freeze`."""
        seen = [arm for arm in arms if arm.moment is not None]
        size = max((len(arm.moment) for arm in seen if arm.moment is not None), default=0)
        models = LinearRegressions(len(arms), size, self.config.ridge)
        for m, arm in enumerate(arms):
            if arm.gram is not None and arm.moment is not None:
                models.gram[m], models.moment[m] = arm.gram, arm.moment
        models.totals[:] = sum(arm.count for arm in seen), float(sum(arm.squares for arm in seen))
        return {name: value.tolist() for name, value in models.tensors().items()}

    def law(self, state: State, enabled: Bools) -> Law:
        """See `Router.law`."""
        gram = np.asarray(state["gram"])
        models = LinearRegressions(len(gram), gram.shape[1], self.config.ridge)
        models.load_tensors({name: np.asarray(values) for name, values in state.items()})

        def shares(user: NDArray[Any]) -> Floats:
            x = with_one(user)
            bounds = x @ models.weights.T + self.config.alpha * models.deviations(x) if gram.size else np.zeros(1)
            chosen = np.broadcast_to(among(bounds, enabled), (len(user), len(enabled)))
            return with_floor(chosen, self.config.floor)

        return shares
