"""recsim's own `interest_exploration`, with our configuration's parameters given to its samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.interest_exploration import InterestExplorationConfig
from recsys_cli.envs.recsim_backend import RecsimProblem
from recsys_cli.envs.recsim_compat import choice_model_class, recsim_module

USER_FIELDS = (
    "user_type_distribution",
    "user_document_mean_affinity_matrix",
    "user_document_stddev_affinity_matrix",
)
DOCUMENT_FIELDS = ("topic_distribution", "topic_quality_mean", "topic_quality_stddev")
CHOICE_FIELDS = ("no_click_mass", "min_normalizer", "attention_prob", "score_scaling")


class RecsimInterestExploration(RecsimProblem[InterestExplorationConfig]):
    """Builds and reads recsim's `interest_exploration`."""

    def user_model(self, seed: int) -> Any:
        """Build recsim's `IEUserModel` around its own sampler, changed only to record the user's type."""
        config, module = self.config, recsim_module("environments.interest_exploration")

        class Sampler(module.IEClusterUserSampler):  # type: ignore[name-defined]
            def sample_user(self) -> Any:
                # recsim forgets the type it drew: draw it once to see it, then let recsim draw the same again.
                state = self._rng.get_state()
                user_type = self._rng.choice(self._number_of_user_types, p=self._user_type_dist)
                self._rng.set_state(state)
                user = super().sample_user()
                user.user_type = user_type
                return user

        model = module.IEUserModel(
            config.slate_size,
            no_click_mass=config.no_click_mass,
            user_state_ctor=module.IEUserState,
            response_model_ctor=module.IEResponse,
            seed=seed,
        )
        model._user_sampler = Sampler(
            **{name: getattr(config, name) for name in USER_FIELDS}, user_ctor=module.IEUserState, seed=seed
        )
        model._user_state = model._user_sampler.sample_user()
        features = {name: getattr(config, name) for name in CHOICE_FIELDS}
        model.choice_model = choice_model_class(config.choice_model)(features)
        return model

    def document_sampler(self, seed: int) -> Any:
        """Build recsim's `IETopicDocumentSampler`."""
        module = recsim_module("environments.interest_exploration")
        return module.IETopicDocumentSampler(
            **{name: getattr(self.config, name) for name in DOCUMENT_FIELDS}, seed=seed
        )

    def reward(self, responses: Any) -> float:
        """Number of clicks."""
        return float(recsim_module("environments.interest_exploration").total_clicks_reward(responses))

    def features(self, document: Any) -> NDArray[Any]:
        """The topic one-hot, then the quality."""
        values = np.zeros(self.config.num_topics + 1)
        values[document["cluster_id"]] = 1.0
        values[-1] = document["quality"]
        return values

    def hidden(self, user: Any, documents: list[Any]) -> dict[str, Any]:
        """Type and affinities."""
        return {"user_type": np.int64(user.user_type), "affinity": user.topic_affinity.astype(np.float32)}
