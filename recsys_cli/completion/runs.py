"""Runs, sweeps and checkpoints on this disk, offered behind `resume=`, `from=` and `checkpoint=`, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recsys_cli.files import read_if_sound
from recsys_cli.tracking.local_runs import ALIASES, CHECKPOINTS, RUN, SWEEP, is_run, is_seed, runs_in, seeds_of

Candidate = tuple[str, str]
MOST = 30  # runs offered


def named(root: str, key: str, value: str, output_dir: Path) -> Iterator[Candidate]:
    """Yield what may be named: runs, or what is in the run typed so far; each with a few words about it.

    Args:
        root: the command.
        key: `resume`, `from` or `checkpoint`.
        value: typed so far.
        output_dir: the folder of runs.
    """
    head = value.rpartition("/")[0]
    if head:
        folder = output_dir / head
        yield from ((f"{head}/{name}", "") for name in (_within(folder, key) if folder.is_dir() else ()))
        return
    wanted = [folder for folder in runs_in(output_dir) if _fits(folder, root, key)]
    for folder in wanted[:MOST]:
        about = read_if_sound(folder / RUN)
        words = f"{about.get('algo')} on {about.get('env')}" if about else ""
        yield folder.name + ("/" if key == "from" and (folder / SWEEP).is_file() else ""), words


def _fits(folder: Path, root: str, key: str) -> bool:
    is_sweep = (folder / SWEEP).is_file()
    if key == "resume":
        return is_sweep == (root == "sweep")
    return bool(seeds_of(folder)) or (key == "from" and is_sweep)


def _within(folder: Path, key: str) -> Iterator[str]:
    """Yield the parts of a run: a sweep's points, a run's seeds, a seed's checkpoints."""
    if is_seed(folder) and key != "resume":
        yield from ALIASES
        yield from sorted((path.name for path in (folder / CHECKPOINTS).glob("step_*")), reverse=True)
    elif is_run(folder) and key != "resume":
        points = [str(point.get("name")) for point in read_if_sound(folder / SWEEP).get("points", ())]
        seeds = [] if points else seeds_of(folder)
        yield from () if len(seeds) > 1 else ALIASES[:1] if points and key == "from" else ALIASES
        yield from points
        yield from (f"{seed.name}/" for seed in seeds)
