"""How long a sweep may take, from start-up to evaluation, learned from earlier runs of its algorithm and problem."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.schema import SweepConfig, TrainConfig
from recsys_cli.files import read_json, read_jsonl, update_json
from recsys_cli.runs.display import spell_seconds
from recsys_cli.runs.plan import Plan
from recsys_cli.tracking.folder import JOURNAL
from recsys_cli.tracking.local_runs import RUN, runs_in, seeds_of

TOOK = "took"
LOOKED_AT = 30


@dataclass(frozen=True)
class Past:
    """What a run took.

    Attributes:
        speed: steps per second of a training, evaluations and checkpoints included, as if it were alone in its trial.
        around: seconds before the first report and after the last, None if it was continued or did not end well.
        before: those before the first report.
        between: seconds from a trial's end to the next one's first report, None if no trial waited for another.
    """

    speed: float
    around: float | None = None
    before: float = 0.0
    between: float | None = None


def note_took(config: TrainConfig, plan: Plan, run_dir: Path) -> None:
    """Write what a whole run took to its `run.json`; call it at the end of a run that was never continued."""
    seeds = plan.search.seeds_per_trial
    at_once = config.resources.trials_at_once(seeds)
    times = [row["time"] for seed in seeds_of(run_dir) for row in read_jsonl(seed / JOURNAL)]
    if at_once is None or config.resources.inline or not times:  # without Ray's start, which others wait for
        return
    began = datetime.fromisoformat(read_json(run_dir / RUN)["created"]).timestamp()
    trials = len(plan.points) * plan.search.seeds_per_point // seeds
    took = {
        "before": min(times) - began,
        "after": time.time() - max(times),
        "training": max(times) - min(times),
        "waves": math.ceil(trials / at_once),
        "seeds_per_trial": seeds,
    }
    update_json(run_dir / RUN, lambda about: about.update({TOOK: took}))


def estimate(config: SweepConfig, points: int) -> str:
    """Return the words on a sweep's duration.

    Args:
        config: of the sweep.
        points: their number.
    """
    runs = runs_in(Path(config.output_dir).expanduser())[:LOOKED_AT]
    known = [past for run in runs if (past := _past(run, config)) is not None]
    if not known:
        return (
            f"no time estimate: no run of algo={config.algo.name} on env={config.env.name} in {config.output_dir} "
            "to learn the speed from; the time left is shown once trials report"
        )
    search, seeds = config.search, config.search.seeds_per_trial
    at_once = config.resources.trials_at_once(seeds)
    if at_once is None:
        return "no time estimate on a cluster; the time left is shown once trials report"
    waves = math.ceil(points * search.seeds_per_point / seeds / at_once)
    low, high = _seconds(known, waves, config.steps * seeds)
    words = " to ".join(dict.fromkeys(map(spell_seconds, (low, high))))
    whole = any(past.around is not None for past in known)
    what = "start-up and evaluation included" if whole else "without start-up and evaluation, which none recorded"
    bound = " at most" if search.compares else ""
    return f"about {words}{bound}, as earlier runs here took, {at_once} at a time, {what}"


def _seconds(known: Sequence[Past], waves: int, steps: int) -> tuple[float, float]:
    """Return the least and the most seconds of trainings of so many steps, one after another."""
    training = waves * steps / statistics.median(past.speed for past in known)
    whole = [past for past in known if past.around is not None]
    if not whole:
        return training, training
    around = statistics.median(past.around for past in whole if past.around is not None)
    between = [past.between for past in whole if past.between is not None]
    # Unless a run had trials that waited, a later trial's start is known to take no longer than the first's.
    least, most = (statistics.median(between),) * 2 if between else (0.0, statistics.median(p.before for p in whole))
    return tuple(around + training + (waves - 1) * each for each in (least, most))  # type: ignore[return-value]


def _past(run: Path, config: SweepConfig) -> Past | None:
    """Return what a run of the same algorithm and problem took; None for others, and for what cannot be read."""
    try:
        about = read_json(run / RUN, default={})
        if (about.get("env"), about.get("algo")) != (config.env.name, config.algo.name):
            return None
        rows = [read_jsonl(seed / JOURNAL) for seed in seeds_of(run)[:10]]
        spans = [[row[-1][key] - row[0][key] for key in ("steps", "time")] for row in rows if row]
        speeds = [steps / seconds for steps, seconds in spans if steps > 0 and seconds > 0]
        return _of(about.get(TOOK), speeds, [seconds for _, seconds in spans]) if speeds else None
    except (ConfigError, AttributeError, KeyError, TypeError):  # damaged
        return None


def _of(took: dict[str, Any] | None, speeds: list[float], seconds: list[float]) -> Past:
    speed = statistics.median(speeds)
    if took is None:
        return Past(speed)
    waits, between = took["waves"] - 1, None
    if waits:
        between = max(0.0, took["training"] - took["waves"] * statistics.median(seconds)) / waits
    return Past(speed * took["seeds_per_trial"], took["before"] + took["after"], took["before"], between)
