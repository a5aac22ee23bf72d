"""recsim's own `interest_evolution`, with our configuration's parameters set on its objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.interest_evolution import InterestEvolutionConfig, quality_means
from recsys_cli.envs.recsim_backend import RecsimProblem
from recsys_cli.envs.recsim_compat import choice_model_class, recsim_module

QUALITY_STDDEV = 0.1  # hard-coded in recsim's video sampler
USER_FIELDS = ("time_budget", "step_penalty", "user_quality_factor", "document_quality_factor", "user_update_alpha")
CHOICE_FIELDS = ("no_click_mass", "min_normalizer", "attention_prob", "score_scaling")


class RecsimInterestEvolution(RecsimProblem[InterestEvolutionConfig]):
    """Builds and reads recsim's `interest_evolution`."""

    def user_model(self, seed: int) -> Any:
        """Build recsim's `IEvUserModel`; parameters fixed by its constructor are set on every user it samples."""
        config, module = self.config, recsim_module("environments.interest_evolution")

        class User(module.IEvUserState):  # type: ignore[name-defined]
            NUM_FEATURES = config.num_topics

        class Sampler(module.UtilityModelUserSampler):  # type: ignore[name-defined]
            def sample_user(self) -> Any:
                user = super().sample_user()
                for name in USER_FIELDS:
                    setattr(user, name, getattr(config, name))
                user.choice_features = {name: getattr(config, name) for name in CHOICE_FIELDS}
                return user

        model = module.IEvUserModel(
            config.slate_size,
            choice_model_ctor=choice_model_class(config.choice_model),
            user_state_ctor=User,
            seed=seed,
            alpha_x_intercept=config.alpha_x_intercept,
            alpha_y_intercept=config.alpha_y_intercept,
        )
        model._user_sampler = Sampler(user_ctor=User, seed=seed)
        model._user_state = model._user_sampler.sample_user()
        model.choice_model = choice_model_class(config.choice_model)(model._user_state.choice_features)
        return model

    def document_sampler(self, seed: int) -> Any:
        """Build recsim's `UtilityModelVideoSampler`; other standard deviations of quality rescale recsim's own."""
        config, module = self.config, recsim_module("environments.interest_evolution")

        class Video(module.IEvVideo):  # type: ignore[name-defined]
            NUM_FEATURES = config.num_topics

        class Sampler(module.UtilityModelVideoSampler):  # type: ignore[name-defined]
            def sample_document(self) -> Any:
                video = super().sample_document()
                if config.quality_stddev != QUALITY_STDDEV:
                    mean = self.cluster_means[video.cluster_id]
                    video.quality = mean + (video.quality - mean) * (config.quality_stddev / QUALITY_STDDEV)
                return video

        sampler = Sampler(
            doc_ctor=Video,
            min_utility=config.min_utility,
            max_utility=config.max_utility,
            video_length=config.video_length,
            seed=seed,
        )
        # The same numbers, but one for each topic also where recsim, truncating 70 % and 30 %, comes out one short.
        sampler.cluster_means = quality_means(config)
        return sampler

    def reward(self, responses: Any) -> float:
        """Watch time of the clicked video."""
        return float(recsim_module("environments.interest_evolution").clicked_watchtime_reward(responses))

    def features(self, document: Any) -> NDArray[Any]:
        """The one-hot topic."""
        return np.asarray(document)

    def hidden(self, user: Any, documents: list[Any]) -> dict[str, Any]:
        """Budget, and the candidates' qualities."""
        return {"budget": user.time_budget, "quality": np.array([video.quality for video in documents], np.float32)}
