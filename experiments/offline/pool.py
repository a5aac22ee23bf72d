"""Tasks in a pool of processes; what is done is kept in a file, a line a task, and is not done again."""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

Task = dict[str, Any]  # what names it, in plain values
Row = dict[str, Any]


def rows_of(*files: Path) -> list[Row]:
    """Return the rows of finished tasks; a line that a kill cut off is none."""
    rows = list[Row]()
    for path in files:
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return list({row["key"]: row for row in rows if "error" not in row}.values())


def do(
    tasks: Iterable[Task], work: Callable[[Task], Row], path: Path, *, workers: int, seconds: float = float("inf")
) -> list[Row]:
    """Do the tasks that are not done yet, in order, and return all rows of the file.

    Args:
        tasks: of which any prefix should give a balanced picture.
        work: returns a task's results, in plain values.
        path: file that a task's names and results are appended to as soon as it is done.
        workers: processes.
        seconds: after which no task is begun.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = time.monotonic() + seconds
    done = {row["key"] for row in rows_of(path)}
    left = (task for task in tasks if json.dumps(task) not in done)
    context = multiprocessing.get_context("fork")
    failed = 0
    with path.open("a") as file, ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: set[Future[Row]] = set()
        while True:
            while len(running) < 2 * workers and time.monotonic() < ended and (task := next(left, None)) is not None:
                running.add(pool.submit(_timed, work, task))
            if not running:
                break
            if time.monotonic() >= ended:
                for future in [future for future in running if future.cancel()]:
                    running.remove(future)
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                row = future.result()
                failed += "error" in row
                file.write(json.dumps(row) + "\n")
                file.flush()
    rows = rows_of(path)
    print(f"{path}: {len(rows):,} tasks done" + (f", {failed} failed" if failed else ""), flush=True)
    return rows


def _timed(work: Callable[[Task], Row], task: Task) -> Row:
    """Do a task in a worker; a failure is a row with its traceback."""
    begin = time.process_time()
    try:
        row = work(task)
    except Exception:
        row = {"error": traceback.format_exc()}
    return {**task, **row, "key": json.dumps(task), "cpu_s": round(time.process_time() - begin, 3)}


def of(rows: Sequence[Row], **names: Any) -> list[Row]:
    """Return the rows with these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in names.items())]
