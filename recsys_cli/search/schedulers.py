"""Tune's schedulers as used by a sweep: they see earlier sessions' reports again, and start nothing once stopped.

A resumed sweep begins with new schedulers. Its trials first repeat their earlier reports, which rebuilds brackets,
rungs and populations; no scheduler state is saved, so none can be lost.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import BasicVariantGenerator

from recsys_cli.config import search as kinds
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import SearchConfig
from recsys_cli.runs.ray_private import running_trials
from recsys_cli.runs.stopping import OnRequest
from recsys_cli.runs.trial import SCORE, TIME, folders_of
from recsys_cli.search.axes import Axis, Interval, value_of


class _Held:
    """Starts no trial once a stop was requested: those paused or pending wait for the next session.

    Attributes:
        stopper: knows whether a stop was requested.
        at_once: concurrent trials on a cluster, None for as many as fit; Tune may start a few more that are already
            pending. A local Ray has no CPUs for more (`ResourcesConfig.local_cpus`). Tune's own limit would hold trials
            back until others have ended, so that no two of them would ever be compared.
    """

    stopper: OnRequest
    at_once: int | None

    def choose_trial_to_run(self, controller: Any, **how: Any) -> Any:
        """Return the trial to start next, None for none."""
        active = running_trials(controller)
        if self.stopper.requested or (self.at_once is not None and active >= self.at_once):
            return None
        return super().choose_trial_to_run(controller, **how)  # type: ignore[misc]


class _Recalled(_Held):
    """Keeps earlier decisions, since those of an asynchronous scheduler depend on the order of reports.

    A repeated report updates its state like any other; whether the trial continued after it is already known.
    """

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide about a trial."""
        decision: str = super().on_trial_result(controller, trial, result)  # type: ignore[misc]
        if not result["repeated"]:
            return decision
        if trial.config["pruned"] and not result["more_known"]:
            return TrialScheduler.STOP
        getattr(self, "_stopped_trials", set()).discard(trial)  # where median stopping keeps its decisions
        return TrialScheduler.CONTINUE


class _Seeded(_Held):
    """Draws for each copy from its own seed, whatever was drawn before, and keeps changed values inside the space.

    Attributes:
        seed: of the search.
        axes: by key.
    """

    seed: int
    axes: dict[str, Axis]

    def _checkpoint_or_exploit(self, trial: Any, *rest: Any) -> None:
        name = folders_of(trial)[0].name
        at = self._trial_state[trial].last_train_time  # type: ignore[attr-defined]
        entropy = [self.seed, *name.encode(), int(at)]
        drawn = np.random.SeedSequence(entropy).generate_state(2)
        random.seed(int(drawn[0]))
        np.random.seed(int(drawn[1]))
        super()._checkpoint_or_exploit(trial, *rest)  # type: ignore[misc]

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        config, operations = super()._get_new_config(trial, trial_to_clone)  # type: ignore[misc]
        point = {key: inside(self.axes[key], value) for key, value in config["point"].items()}
        # A copy trains the other's point, but in its own folder and with its own seed.
        return {**trial.config, "point": point}, operations


def inside(axis: Axis, value: Any) -> Any:
    """Return a value clipped to its interval, rounded if it is an integer."""
    if not isinstance(axis, Interval):
        return value
    kept = min(max(float(f"{value:.6g}"), axis.low), axis.high)  # short enough to show and type
    return round(kept) if axis.integer else kept


class _Fifo(_Held, FIFOScheduler):
    """Trains all to the end."""


class _HyperBand(_Held, HyperBandScheduler):
    """HyperBand."""


class _Bohb(_Held, HyperBandForBOHB):
    """HyperBand for BOHB."""


class _Asha(_Recalled, ASHAScheduler):
    """Asynchronous successive halving."""


class _MedianStopping(_Recalled, MedianStoppingRule):
    """Median stopping."""


class _Pbt(_Seeded, PopulationBasedTraining):
    """Population-based training."""


class _Pb2(_Seeded, PB2):
    """Population-based bandits."""


class GivenTrials(BasicVariantGenerator):
    """Known trials for a scheduler that pauses some.

    The search is over when all have ended, not when all have started: after that Tune would end the process of every
    paused trial and start another when it continues.
    """

    def __init__(self, **settings: Any) -> None:
        """Start without trials."""
        super().__init__(**settings)
        self.begun: list[Trial] = []

    def next_trial(self) -> Trial | None:
        """Return the next trial, None if there is none at present."""
        trial = super().next_trial()
        if trial is not None:
            self.begun.append(trial)
        return trial

    def is_finished(self) -> bool:
        """Whether none is left and all have ended."""
        return super().is_finished() and all(trial.is_finished() for trial in self.begun)

    def get_state(self) -> dict[str, Any]:
        """Leave the trials out of Tune's saved state, which nobody reads."""
        state: dict[str, Any] = super().get_state()
        state.pop("begun")
        return state


def make_scheduler(config: SweepConfig, axes: dict[str, Axis], stopper: OnRequest) -> Any:
    """Return the scheduler of a search.

    Args:
        config: of the sweep.
        axes: of keys, by key.
        stopper: knows whether a stop was requested.
    """
    search = config.search
    scheduler = _make(search, config.steps, axes)
    scheduler.stopper, scheduler.at_once = stopper, config.resources.concurrent_trials
    if isinstance(scheduler, _Seeded):
        scheduler.seed, scheduler.axes = search.seed, axes
    return scheduler


def _make(search: SearchConfig, steps: int, axes: dict[str, Axis]) -> Any:
    about: dict[str, Any] = {"time_attr": TIME, "metric": SCORE, "mode": search.mode}
    if isinstance(search, kinds.RungSearch):
        rungs = {**about, "max_t": search.units(steps), "reduction_factor": search.reduction_factor}
        if isinstance(search, kinds.AshaSearch):
            return _Asha(**rungs, grace_period=1)
        return (_Bohb if search.adaptive else _HyperBand)(**rungs)
    if isinstance(search, kinds.MedianStoppingSearch):
        return _MedianStopping(**about, grace_period=1, min_samples_required=search.min_trials)
    if isinstance(search, kinds.PopulationSearch):
        about |= {"perturbation_interval": 1, "quantile_fraction": search.quantile_fraction, "synch": True}
        if isinstance(search, kinds.PbtSearch):
            space = {key: mutation(axis) for key, axis in axes.items()}
            return _Pbt(
                **about,
                hyperparam_mutations={"point": space},
                resample_probability=search.resample_probability,
                log_config=False,
            )
        bounds = {key: [axis.low, axis.high] for key, axis in axes.items() if isinstance(axis, Interval)}
        return _Pb2(**about, hyperparam_bounds={"point": bounds}, log_config=False)
    return _Fifo()


def mutation(axis: Axis) -> Any:
    """Return an axis as population-based training takes it: a list, or one of Tune's ranges."""
    return drawn(axis) if isinstance(axis, Interval) else [value_of(axis.key, text) for text in axis.values]


def drawn(axis: Interval) -> Any:
    """Return Tune's name for an interval."""
    from ray import tune

    if axis.integer:
        draw = tune.lograndint if axis.log else tune.randint
        return draw(int(axis.low), int(axis.high) + 1)
    return (tune.loguniform if axis.log else tune.uniform)(axis.low, axis.high)
