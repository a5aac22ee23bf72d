"""A sweep on three Ray nodes that loses a node, a trial's process and its driver: is any result lost or made twice?

    uv run python -m experiments.cluster.run

A head and two workers, one CPU each, run a grid of small SlateQ trainings. In its middle one worker node is killed,
then the process of a trial, then the driver; `recsys sweep resume=` ends it. What it found is compared with the same
grid on this machine alone, undisturbed: the same results to the last bit, no finished trial trained again, no report
twice. A second sweep trains with an env runner a trial and loses one: such trainings are not repeatable to the bit
(users of remote runners begin anew), so there every point has to finish. Writes `results.json` beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.cluster.nodes import Actor, Nodes, kill_process
from recsys_cli.config.words import layered
from recsys_cli.files import read_json, read_jsonl, write_json

WORDS: tuple[str, ...] = ("env=interest_evolution", "algo=slateq", "debug=smoke", "tracking=off", "progress=plain")
WORDS += ("evaluation.baselines=[random]", "algo.learning_starts=200", "algo.batch_size=32")
WORDS += ("resources.users_per_runner=50", "report_every=1000", "checkpoint.every=2000", "evaluation.every=4000")
GRID = ("algo.lr=1e-3,3e-4,1e-4", "algo.n_step=1,3")
TRIAL, RUNNER = "ResourceTrainable", "VectorEnvRunner"  # Tune's name for a trial with its resources


@dataclass(frozen=True)
class Outcome:
    """What became of a disturbed sweep.

    Attributes:
        points: seeds that finished.
        faults: what was done to it, in order, with the trials finished by then.
        same_results: whether `points.csv` is that of the undisturbed sweep; None if there is none to compare with.
        same_reports: whether every report of every trial is, all metrics but times.
        trained_again: trials whose folder changed although they had finished before a fault.
        reports_twice: trials with two reports of the same env steps.
        codes: exit codes of the driver's sessions.
    """

    points: int
    faults: list[str]
    same_results: bool | None
    same_reports: bool | None
    trained_again: list[str]
    reports_twice: list[str]
    codes: list[int]


class Driver:
    """`recsys sweep` as a process in a folder.

    Args:
        folder: where it runs.
        words: behind `recsys sweep`.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "recsys_cli", "sweep", *layered(words)]
        self.log = (folder / "driver.log").open("ab")
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log, start_new_session=True)

    def wait_for(self, what: Callable[[], Any], seconds: float = 900.0) -> Any:
        """Wait until something holds while the driver lives, and return it.

        Raises:
            RuntimeError: it did not happen, or the driver ended.
        """
        end = time.monotonic() + seconds
        while not (found := what()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no {what.__name__} (exit code {self.process.poll()}): {self.output()[-3000:]}")
            time.sleep(0.05)
        return found

    def output(self) -> str:
        """Return all that it printed."""
        return Path(self.log.name).read_text()

    def kill(self) -> int:
        """Kill it, without a chance to say goodbye."""
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def finish(self, seconds: float = 900.0) -> int:
        """Return its exit code."""
        return self.process.wait(timeout=seconds)


def finished(sweep: Path) -> dict[str, int]:
    """Return the finished trials, each with the time of its last checkpoint."""
    states = {path.parent: read_json(path)["status"] for path in sweep.glob("*/seed.json")}
    ended = [folder for folder, state in states.items() if state == "finished"]
    return {folder.name: (folder / "checkpoints/last.json").stat().st_mtime_ns for folder in ended}


def reports(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Return a trial's reports without what the clock says."""
    rows = read_jsonl(folder / "metrics.jsonl")
    return [(row["steps"], {k: v for k, v in row["metrics"].items() if not k.startswith("time/")}) for row in rows]


def results(sweep: Path) -> list[dict[str, str]]:
    """Return the rows of `points.csv`."""
    with (sweep / "points.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Disturbed:
    """A sweep on the nodes, and what is done to it.

    Args:
        nodes: live.
        folder: where its driver runs.
        words: of the sweep.
    """

    def __init__(self, nodes: Nodes, folder: Path, *words: str) -> None:
        """Start the driver."""
        self.nodes, self.folder, self.sweep = nodes, folder, folder / "runs/disturbed"
        self.faults: list[str] = []
        self.before: dict[str, int] = {}
        self.codes: list[int] = []
        self.where = (f"resources.ray_address={nodes.address}", "resources.ship_code=true")
        self.driver = Driver(folder, *words, *self.where, "name=disturbed")

    def _note(self, fault: str) -> None:
        self.before |= finished(self.sweep)
        self.faults.append(f"{fault}; {len(self.before)} trials had finished")
        print(f"{time.strftime('%H:%M:%S')} {self.faults[-1]}", flush=True)

    def _running(self, least: int) -> list[Actor]:
        """Return the trials' processes once so many trials are under way or done."""
        begun = [path for path in self.sweep.glob("*/checkpoints/last.json")]
        return self.nodes.actors(TRIAL) if len(begun) >= least else []

    def lose_node(self) -> None:
        """Kill a worker node on which a trial runs."""

        def victim() -> Any:
            busy = {actor.node for actor in self._running(1)}
            return next((node for node in self.nodes.workers if node.node_id in busy), None)

        node = self.driver.wait_for(victim)
        self._note("killed a worker node with a trial on it")
        self.nodes.kill(node)

    def lose_process(self, name: str = TRIAL) -> None:
        """Kill the process of a trial, or another one of its actors, on a node that lives."""

        def victim() -> Actor | None:
            alive = {node.node_id for node in self.nodes.cluster.list_all_nodes()}
            here = [actor for actor in self.nodes.actors(name) if actor.node in alive]
            return here[0] if self._running(2) and here else None

        actor = self.driver.wait_for(victim)
        self._note(f"killed a {name}")
        kill_process(actor.pid)

    def lose_driver(self, least: int) -> None:
        """Kill the driver after so many trials have finished, while others run; start a new one."""
        done = lambda: len(finished(self.sweep)) >= least and self.nodes.actors(TRIAL)  # noqa: E731
        self.driver.wait_for(done)
        self.codes.append(self.driver.kill())
        self._note("killed the driver")
        self.driver = Driver(self.folder, "resume=disturbed", *self.where)

    def finish(self, undisturbed: Path | None) -> Outcome:
        """Wait for its end, look at what it left and compare that with an undisturbed sweep, if there is one."""
        self.codes.append(self.driver.finish())
        now = finished(self.sweep)
        folders = sorted(path.parent for path in self.sweep.glob("*/seed.json"))
        steps = {folder.name: [env_steps for env_steps, _ in reports(folder)] for folder in folders}
        same = undisturbed is not None and all(reports(one) == reports(undisturbed / one.name) for one in folders)
        return Outcome(
            points=len(now),
            faults=self.faults,
            same_results=results(self.sweep) == results(undisturbed) if undisturbed else None,
            same_reports=same if undisturbed else None,
            trained_again=[name for name, written in self.before.items() if now.get(name) != written],
            reports_twice=[name for name, found in steps.items() if len(set(found)) != len(found)],
            codes=self.codes,
        )


def disturb(folder: Path, grid: tuple[str, ...], env_steps: int) -> Outcome:
    """Run a sweep undisturbed, then on three nodes that fail one after the other."""
    words = (*WORDS, f"steps={env_steps}")
    alone = Driver(folder, *words, *grid, "name=undisturbed", "resources.concurrent_trials=1")
    if alone.finish() != 0:
        raise RuntimeError(alone.output()[-3000:])
    with Nodes(workers=2) as nodes:
        sweep = Disturbed(nodes, folder, *words, *grid)
        try:
            sweep.lose_node()
            sweep.lose_process()
            # Those lost above go on once the others have ended.
            sweep.lose_driver(least=math.prod(len(axis.split(",")) for axis in grid) - 2)
            return sweep.finish(folder / "runs/undisturbed")
        finally:
            end(sweep.driver)


def disturb_runners(folder: Path, grid: tuple[str, ...], env_steps: int) -> Outcome:
    """Run a sweep of trials with an env runner each on three nodes; an env runner is lost, and a node."""
    words = (*WORDS, f"steps={env_steps}", "resources.env_runners=1")
    with Nodes(workers=2) as nodes:
        sweep = Disturbed(nodes, folder, *words, *grid)
        try:
            sweep.lose_process(RUNNER)
            sweep.lose_node()
            return sweep.finish(None)
        finally:
            end(sweep.driver)


def end(driver: Driver) -> None:
    """End a driver that is still there."""
    if driver.process.poll() is None:
        driver.kill()


def main() -> None:
    """Run both, print what became of them and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-steps", type=int, default=30_000, help="of each trial")
    parser.add_argument("--folder", type=Path, help="where the sweeps' folders stay; else they are removed")
    parser.add_argument("--only", choices=PARTS, help="one of the two; the other's results stay")
    arguments = parser.parse_args()
    file = Path(__file__).with_name("results.json")
    with tempfile.TemporaryDirectory() as temporary:
        for name in [arguments.only] if arguments.only else PARTS:
            disturbing, grid = PARTS[name]
            folder = (arguments.folder or Path(temporary)).resolve() / name
            folder.mkdir(parents=True)
            outcome = asdict(disturbing(folder, grid, arguments.env_steps))
            print(json.dumps({name: outcome}, indent=2), flush=True)
            write_json(file, {**read_json(file, default={}), name: outcome})


PARTS: dict[str, tuple[Callable[[Path, tuple[str, ...], int], Outcome], tuple[str, ...]]] = {
    "sweep": (disturb, GRID),
    "env_runners": (disturb_runners, GRID[:1]),
}

if __name__ == "__main__":
    main()
