"""Schemas of `conf/search`: how a sweep picks its points and which ones it stops early."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Above, AtLeast, Cap, Count, Fraction, Positive, Seed, Seeds, Steps, Trials


@dataclass(frozen=True)
class SearchConfig:
    """What every search has.

    Attributes:
        name: the name of its yaml.
        metric: a reported metric; a point's score is its latest value.
        mode: whether the best score is the greatest or the least.
        seeds_per_point: seeds trained per point.
        over_seeds: how the seeds' scores make the point's.
        interval_points: values that an interval is cut into if all combinations are tried.
        seed: of all random draws.
        max_steps: total steps of all trials after which the sweep stops.
        max_seconds: the same in seconds of wall time.
        on_failure: if a trial fails: continue without it, retry it (twice), or stop the sweep.
    """

    name: str
    metric: str
    mode: Literal["max", "min"]
    seeds_per_point: Seeds
    over_seeds: Literal["mean", "iqm"]
    seed: Seed
    max_steps: Steps | None
    max_seconds: Positive | None
    on_failure: Literal["continue", "retry", "stop"]

    compares: ClassVar[bool] = False  # compares running trials
    adaptive: ClassVar[bool] = False  # chooses points by the scores of others
    changes: ClassVar[bool] = False  # changes the values of running trials
    needs: ClassVar[tuple[str, ...]] = ()  # packages that are not installed with this one

    def whole(self, steps: int) -> int:
        """Return the steps of a whole training, given the requested number."""
        return steps

    def check(self, steps: int) -> None:
        """Refuse missing packages, and trials of too few steps.

        Raises:
            ConfigError: with the remedy.
        """
        missing = [
            package for package in self.needs if importlib.util.find_spec(_MODULES.get(package, package)) is None
        ]
        if missing:
            raise ConfigError(
                f"search={self.name} needs {' and '.join(missing)}, not installed: pip install {' '.join(self.needs)}"
            )

    @property
    def joint(self) -> bool:
        """Whether the seeds of a point are one trial: if its score affects it or others."""
        return self.compares or self.adaptive

    @property
    def seeds_per_trial(self) -> int:
        """Seeds per trial."""
        return self.seeds_per_point if self.joint else 1

    def unit(self, steps: int) -> int | None:
        """Return the steps between reports of a trial of so many steps; None: unchanged."""
        return None


_MODULES = {"configspace": "ConfigSpace", "scikit-learn": "sklearn"}


@dataclass(frozen=True)
class GridSearch(SearchConfig):
    """Every combination."""

    interval_points: Annotated[int, AtLeast(2), Cap(1_000_000)]


@dataclass(frozen=True)
class RandomSearch(SearchConfig):
    """Points drawn at random."""

    trials: Trials


@dataclass(frozen=True)
class RungSearch(RandomSearch):
    """Points drawn at random, compared at rungs that are a factor apart.

    Attributes:
        min_steps: least steps up to the first rung.
        reduction_factor: factor between rungs, and ratio of a rung's trials to those that continue.
    """

    min_steps: Steps
    reduction_factor: Annotated[int, AtLeast(2), Cap(1_000_000)]

    compares: ClassVar[bool] = True

    def rungs(self, steps: int) -> int:
        """Return the number of rungs before the end."""
        rungs = 0
        while self.min_steps * self.reduction_factor ** (rungs + 1) <= steps:
            rungs += 1
        return rungs

    def unit(self, steps: int) -> int:
        """Return the steps up to the first rung, from which the factors lead exactly to the end."""
        return steps // self.units(steps)

    def units(self, steps: int) -> int:
        """Return the length of a whole training in units."""
        return int(self.reduction_factor ** self.rungs(steps))

    def whole(self, steps: int) -> int:
        """Return the steps of a whole training: a multiple of the unit, slightly fewer than requested."""
        return self.unit(steps) * self.units(steps)

    def check(self, steps: int) -> None:
        """Refuse trials that end before the second rung."""
        super().check(steps)
        if not self.rungs(steps):
            raise ConfigError(
                f"search.min_steps={self.min_steps} leaves no rung below steps={steps} at "
                f"search.reduction_factor={self.reduction_factor}: at most {steps // self.reduction_factor} does"
            )


@dataclass(frozen=True)
class HyperBandSearch(RungSearch):
    """HyperBand (Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization")."""


@dataclass(frozen=True)
class AshaSearch(RungSearch):
    """Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning")."""


@dataclass(frozen=True)
class BohbSearch(RungSearch):
    """HyperBand with points from a model of the good ones (Falkner et al. 2018, "BOHB")."""

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("hpbandster", "configspace", "statsmodels")


@dataclass(frozen=True)
class MedianStoppingSearch(RandomSearch):
    """Stops trials below the median of the others' running means (Golovin et al. 2017, Google Vizier, section 3.2.2).

    Attributes:
        min_steps: steps between comparisons, and before the first.
        min_trials: least number of other trials to compare with.
    """

    min_steps: Steps
    min_trials: Count

    compares: ClassVar[bool] = True

    def unit(self, steps: int) -> int:
        """Return the steps between comparisons."""
        return self.min_steps

    def check(self, steps: int) -> None:
        """Refuse trials that end before the first comparison."""
        super().check(steps)
        if steps <= self.min_steps:
            raise ConfigError(f"search.min_steps={self.min_steps} must be below steps={steps}")


@dataclass(frozen=True)
class PopulationSearch(RandomSearch):
    """A population whose worst trials copy the best and change their values (Jaderberg et al. 2017, arXiv 1711.09846).

    Synchronous: all reach the same steps before any copies, so that a sweep is reproducible from its seeds.

    Attributes:
        perturb_every: steps between rounds of copying.
        quantile_fraction: fraction of trials that copy, and fraction that is copied.
    """

    trials: Annotated[int, AtLeast(2), Cap(5_000)]
    perturb_every: Steps
    quantile_fraction: Annotated[float, Above(0, 0.5)]

    compares: ClassVar[bool] = True
    changes: ClassVar[bool] = True

    def unit(self, steps: int) -> int:
        """Return the steps between rounds."""
        return self.perturb_every

    def check(self, steps: int) -> None:
        """Refuse trials that end before the first round."""
        super().check(steps)
        if steps <= self.perturb_every:
            raise ConfigError(f"search.perturb_every={self.perturb_every} must be below steps={steps}")


@dataclass(frozen=True)
class PbtSearch(PopulationSearch):
    """Changes values at random.

    Attributes:
        resample_probability: of a new value from the whole space instead of one near the old.
    """

    resample_probability: Fraction


@dataclass(frozen=True)
class Pb2Search(PopulationSearch):
    """Changes values by a model of the changes in score (Parker-Holder et al. 2020, "Population Based Bandits")."""

    needs: ClassVar[tuple[str, ...]] = ("scikit-learn",)


@dataclass(frozen=True)
class OptunaSearch(RandomSearch):
    """Points proposed by Optuna's tree-structured Parzen estimator from earlier ones (Akiba et al. 2019)."""

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("optuna",)
