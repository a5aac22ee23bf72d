"""What grows with the size of a cluster: sampling, weights, results, checkpoints; CPU seconds, not wall time.

    uv run python -m experiments.cluster.measure

Other work shares the machine, so wall time says nothing here. Prints tables and writes `measured.json` beside this
file; `walls.md` says what follows for 1,000 nodes.

- sampling: SlateQ's runners play chunks and hand them to the training process, which learns nothing: CPU seconds per
  million env steps of the training process, of the runners, and of Ray's own processes; and the CPU time that handing
  the policy's weights to all of them takes.
- results: what a report costs the driver of a sweep, with trials that do nothing but report, two at a time.
- checkpoint: bytes and CPU seconds of one of SlateQ's, at its defaults.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recsys_cli.runs import QUIET
from recsys_cli.runs.local_ray import LOGGING

os.environ.update({**QUIET, "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"})

import ray
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.tune import Trainable

from recsys_cli.config.compose import compose
from recsys_cli.config.schema import TrainConfig
from recsys_cli.runs import trial
from recsys_cli.runs.callbacks import Reporting
from recsys_cli.runs.display import Display
from recsys_cli.runs.folder import FAILED, WAITING, Checkpoints
from recsys_cli.runs.plan import Plan
from recsys_cli.runs.trial import SCORE, TIME, TrialSpec
from recsys_cli.runs.tune import run_trials
from recsys_cli.tracking.tracker import Tracker

METRICS = {f"learner/metric_{index}": 1.0 / (index + 1) for index in range(14)}  # as many as SlateQ reports
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sampling:
    """CPU seconds per million env steps, and what a weight sync is."""

    runners: int
    env_steps: int
    training_process: float
    runner_processes: float
    ray_processes: float
    chunk_kb: float
    weights_kb: float
    sync_ms: float


@dataclass(frozen=True)
class Results:
    """What the driver spent on a sweep of trials that only report."""

    trials: int
    results: int
    cpu_ms_a_result: float
    tune_state_kb: float


@dataclass(frozen=True)
class Stored:
    """One checkpoint."""

    env_steps: int
    mb: float
    cpu_s: float


def tree_seconds() -> dict[str, float]:
    """Return the CPU seconds of this process's descendants: of Ray's workers, and of its other processes."""
    parents, names, seconds = {}, {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        pid = int(path.parent.name)
        parents[pid], names[pid] = int(fields[1]), name
        seconds[pid] = (int(fields[11]) + int(fields[12])) / TICK
    found: defaultdict[str, float] = defaultdict(float)
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and pid != above:
            found["workers" if names[pid].startswith("ray::") else "ray"] += seconds[pid]
    return dict(found)


@contextmanager
def local_ray(cpus: int) -> Iterator[None]:
    """A Ray that believes in so many CPUs."""
    ray.init(address="local", num_cpus=cpus, num_gpus=0, include_dashboard=False, **LOGGING)
    try:
        yield
    finally:
        ray.shutdown()


def settings(*words: str, runners: int = 0) -> TrainConfig:
    """Return a run, with runners that this machine may have no cores for."""
    run: TrainConfig = compose("train", ["tracking=off", *words])
    return replace(run, resources=replace(run.resources, env_runners=runners))


def sampling(runners: int, rounds: int) -> Sampling:
    """Play and hand out weights, again and again."""
    run = settings("algo=slateq", runners=runners)
    algorithm = run.algo.make_training(run, 0).algorithm
    for _ in range(3):
        algorithm.collect()
    before, began = tree_seconds(), time.process_time()
    steps, chunk_bytes = 0, 0
    for _ in range(rounds):
        chunks = algorithm.collect()
        steps += sum(chunk.env_steps() for chunk in chunks)
        chunk_bytes = sum(held_bytes(vars(chunk)) for chunk in chunks) // len(chunks)
    own, after = time.process_time() - began, tree_seconds()
    spent = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in ("workers", "ray")}
    began = time.process_time()
    for _ in range(rounds):
        algorithm.env_runner_group.sync_weights(
            from_worker_or_learner_group=algorithm.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
        )
        algorithm.env_runner_group.foreach_env_runner(lambda runner: None, timeout_seconds=60.0)
    sync = (time.process_time() - began) / rounds
    state = algorithm.learner_group.get_state(components=f"learner/rl_module/{DEFAULT_MODULE_ID}", inference_only=True)
    algorithm.stop()
    million = steps / 1e6
    return Sampling(
        runners,
        steps,
        training_process=round(own / million, 2),
        runner_processes=round(spent["workers"] / million, 2),
        ray_processes=round(spent["ray"] / million, 2),
        chunk_kb=round(chunk_bytes / 1e3, 1),
        weights_kb=round(held_bytes(state) / 1e3, 1),
        sync_ms=round(1e3 * sync, 1),
    )


def held_bytes(value: Any) -> int:
    """Return the bytes of all arrays in nested values."""
    if isinstance(value, dict):
        return sum(map(held_bytes, value.values()))
    return int(getattr(value, "nbytes", 0))


class Tiny(Trainable):
    """Reports as a training does, and does nothing else."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin."""
        self.folder, self.at, self.last = config["seeds"][0]["folder"], 0, config["config"]["steps"]

    def step(self) -> dict[str, Any]:
        """Report."""
        self.at += 1
        report = {"folder": self.folder, "steps": self.at, "metrics": METRICS, "checkpoint": None, "best": False}
        report |= {"resumed_from": 0, "finished": self.at >= self.last, "repeated": False}
        result = {"reports": [report], "point": {}, "repeated": False, "more_known": False}
        return {**result, "done": report["finished"], TIME: self.at, SCORE: 1.0}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self.setup(new_config)
        return True


def results(trials: int, reports: int) -> Results:
    """Run trials as a sweep does."""
    trial.TrainingTrial = Tiny  # type: ignore[misc]
    run = settings("algo=slateq", f"steps={reports}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        tracker = Tracker(folder, enabled=False, uri=None, experiment="x", register_model=None, say=print)
        specs = [TrialSpec(run, {0: folder / f"p{number:04d}"}) for number in range(trials)]
        with tracker:
            plan = Plan(run)
            reporting = Reporting(plan, tracker, Display("off", plan))
            for spec in specs:
                spec.seeds[0].mkdir()
                tracker.open(spec.seeds[0], params=run.to_dict(), tags={})
                reporting.begin(spec.seeds[0], WAITING, None, 0, plan.points[0])
            began = time.process_time()
            run_trials(specs, folder, run.resources, reporting)
            spent = time.process_time() - began
        if failed := list(reporting.states.values()).count(FAILED):
            raise RuntimeError(f"{failed} trials failed")
        state = sum(path.stat().st_size for path in (folder / "tune").glob("*.json"))
    return Results(trials, trials * reports, round(1e3 * spent / (trials * reports), 2), round(state / 1e3, 1))


def checkpoint(env_steps: int) -> Stored:
    """Train a little, and write a checkpoint."""
    run = settings("algo=slateq", f"steps={env_steps}")
    training = run.algo.make_training(run, 0)
    while training.steps < env_steps:
        training.step()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.process_time()
        path = Checkpoints(Path(temporary), 2).write(training, run, 0, metrics=METRICS, best_return=None)
        spent = time.process_time() - began
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    training.stop()
    return Stored(training.steps, round(size / 1e6, 2), round(spent, 2))


def main() -> None:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="chunks that every runner plays")
    parser.add_argument("--reports", type=int, default=5, help="of each trial")
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 10, 100, 1000])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {}

    def add(name: str, measure: Callable[..., Any], *given: int) -> None:
        row = asdict(measure(*given))
        found.setdefault(name, []).append(row)
        print(name, row, flush=True)
        Path(__file__).with_name("measured.json").write_text(json.dumps(found, indent=2) + "\n")

    with local_ray(cpus=10):
        for runners in (0, 1, 2, 4, 8):
            add("sampling", sampling, runners, arguments.rounds)
        for env_steps in (20_000, 300_000):
            add("checkpoint", checkpoint, env_steps)
    with local_ray(cpus=2):
        results(2, 2)  # the imports of its processes
        for trials in arguments.trials:
            add("results", results, trials, max(arguments.reports, 100 // trials))


if __name__ == "__main__":
    main()
