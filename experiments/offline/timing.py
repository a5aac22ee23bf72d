"""What learning and judging cost: CPU seconds and memory of fresh processes, by the size of the log."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from experiments.offline import pool
from experiments.offline.grid import learned, on_whole_log, recorded
from experiments.offline.problems import policy_of
from recsys_cli.offline.dataset import Dataset

PROBLEM, BEHAVIOUR, TARGET = "evolution_3", "random", "half"
SIZES = (10_000, 100_000, 1_000_000)


def tasks(lengths: dict[tuple[str, str], float]) -> Iterator[pool.Task]:
    """Yield the sizes."""
    for size in SIZES:
        episodes = round(size / lengths[PROBLEM, BEHAVIOUR])
        yield {"problem": PROBLEM, "behaviour": BEHAVIOUR, "size": size, "episodes": episodes, "seed": 0}


def work(task: pool.Task) -> pool.Row:
    """Record a log, and measure what is done with it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        found = {"record": measured(_record, log, task), "lspi": measured(_learn, log), "fqe": measured(_judge, log)}
    return {"steps": found["record"]["result"], **found}


def measured(what: Callable[..., int | None], *given: Any) -> dict[str, Any]:
    """Return what it returns in a fresh process, its CPU seconds, and by how much its memory grew at most, in MB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_measured, what, *given).result()


def _measured(what: Callable[..., int | None], *given: Any) -> dict[str, Any]:
    before, begin = _peak(), time.process_time()
    result = what(*given)
    return {"result": result, "cpu_s": round(time.process_time() - begin, 2), "mb": round(_peak() - before)}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _record(log: Path, task: pool.Task) -> int:
    return recorded(log, task).steps


def _learn(log: Path) -> None:
    learned(PROBLEM, "lspi", Dataset.open(log), 0)


def _judge(log: Path) -> None:
    on_whole_log(policy_of(PROBLEM, TARGET), Dataset.open(log), policy_of(PROBLEM, BEHAVIOUR))


def markdown(rows: Sequence[pool.Row]) -> str:
    """Return a table."""
    names = {"record": "record", "lspi": "LSPI and its held-out estimate", "fqe": "FQE of one policy, whole log"}
    lines = ["| steps | " + " | ".join(names.values()) + " |", "|---" * (1 + len(names)) + "|"]
    for row in rows:
        cells = " | ".join(f"{row[name]['cpu_s']:.1f} s, {row[name]['mb']:.0f} MB" for name in names)
        lines.append(f"| {row['steps']:,} | {cells} |")
    return "\n".join(lines) + "\n"
