"""recsim's own `long_term_satisfaction`, with our configuration's parameters given to its sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.long_term_satisfaction import LongTermSatisfactionConfig
from recsys_cli.envs.recsim_backend import RecsimProblem
from recsys_cli.envs.recsim_compat import recsim_module

USER_FIELDS = (
    "memory_discount",
    "sensitivity",
    "innovation_stddev",
    "choc_mean",
    "choc_stddev",
    "kale_mean",
    "kale_stddev",
    "time_budget",
)


class RecsimLongTermSatisfaction(RecsimProblem[LongTermSatisfactionConfig]):
    """Builds and reads recsim's `long_term_satisfaction`."""

    def user_model(self, seed: int) -> Any:
        """Build recsim's `LTSUserModel`."""
        module = recsim_module("environments.long_term_satisfaction")
        model = module.LTSUserModel(
            self.config.slate_size,
            user_state_ctor=module.LTSUserState,
            response_model_ctor=module.LTSResponse,
            seed=seed,
        )
        model._user_sampler = module.LTSStaticUserSampler(
            **{name: getattr(self.config, name) for name in USER_FIELDS}, user_ctor=module.LTSUserState, seed=seed
        )
        model._user_state = model._user_sampler.sample_user()
        return model

    def document_sampler(self, seed: int) -> Any:
        """Build recsim's `LTSDocumentSampler` (recsim's own factory forgets to seed it)."""
        return recsim_module("environments.long_term_satisfaction").LTSDocumentSampler(seed=seed)

    def reward(self, responses: Any) -> float:
        """Engagement with the clicked document."""
        return float(recsim_module("environments.long_term_satisfaction").clicked_engagement_reward(responses))

    def features(self, document: Any) -> NDArray[Any]:
        """The clickbait score."""
        return np.asarray(document)

    def hidden(self, user: Any, documents: list[Any]) -> dict[str, Any]:
        """Exposure, satisfaction and steps left."""
        return {
            "net_positive_exposure": user.net_positive_exposure,
            "satisfaction": user.satisfaction,
            "time_budget": np.int64(user.time_budget),
        }
