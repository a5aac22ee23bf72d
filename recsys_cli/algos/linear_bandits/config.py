"""Settings of the linear bandits."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.bandits.contextual import ContextualConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Fraction, NonNegative
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.item_bandit import ItemBanditPolicy
    from recsys_cli.policies.item_index import Index


@dataclass
class LinearBanditConfig(ContextualConfig):
    """Linear models of items' values. Keys and defaults: see `conf/algo/_linear_bandit.yaml`."""

    parameters: Literal["auto", "shared", "disjoint"]
    features: Literal["auto", "doc", "user_doc", "interactions"]

    def check(self, spec: ProblemSpec) -> None:
        """Refuse one model per topic if documents are not one-hot topics."""
        if self.parameters == "disjoint" and not spec.documents.one_hot:
            raise ConfigError(
                f"algo.parameters=disjoint keeps one model per topic, but documents of env={spec.name} are not one-hot "
                "topics; allowed: shared, auto"
            )

    @abstractmethod
    def index(self) -> Index:
        """Return the index that items are ranked by when exploring."""

    @property
    def random_slates(self) -> float:
        """Probability of a random slate when exploring."""
        return 0.0

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ItemBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.item_bandit import ItemBanditPolicy
        from recsys_cli.policies.item_values import LinearItems

        auto: Literal["shared", "disjoint"] = "disjoint" if spec.documents.one_hot else "shared"
        parameters, design = auto if self.parameters == "auto" else self.parameters, self.design()
        items = LinearItems(spec, design, parameters, self.features)
        return ItemBanditPolicy(spec, design, items, self.index(), self.random_slates)


@dataclass
class LinUCBConfig(LinearBanditConfig):
    """LinUCB (Li et al. 2010, arXiv 1003.0146)."""

    alpha: NonNegative

    def index(self) -> Index:
        """Return the upper confidence bound."""
        from recsys_cli.policies.item_index import UpperBound

        return UpperBound(self.alpha)


@dataclass
class LinTSConfig(LinearBanditConfig):
    """Linear Thompson sampling (Agrawal & Goyal 2013, arXiv 1209.3352)."""

    posterior_scale: NonNegative

    def index(self) -> Index:
        """Return the posterior draw."""
        from recsys_cli.policies.item_index import PosteriorSample

        return PosteriorSample(self.posterior_scale)


@dataclass
class LinearGreedyConfig(LinearBanditConfig):
    """The same models, greedy except for random slates with probability epsilon."""

    epsilon: Fraction

    def index(self) -> Index:
        """Return the posterior mean."""
        from recsys_cli.policies.item_index import Greedy

        return Greedy()

    @property
    def random_slates(self) -> float:
        """The epsilon."""
        return self.epsilon
