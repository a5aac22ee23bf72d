"""Runs, seeds and checkpoints on this disk, found by folder, name or id; MLflow is not asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.notices import warn
from recsys_cli.files import read_if_sound, read_json
from recsys_cli.tracking.folder import PLAN, SEED, UPLOADED

RUN, SWEEP, BEST = "run.json", "sweep.json", "best.json"
CHECKPOINTS = "checkpoints"
ALIASES = ("best", "last")
SHORTEST_PREFIX = 6


def seeds_of(run_dir: Path) -> list[Path]:
    """Return the seeds' folders of a run, by name."""
    return sorted(path.parent for path in run_dir.glob(f"*/{SEED}"))


def runs_in(output_dir: Path) -> list[Path]:
    """Return the runs' folders, the newest first."""
    found = [path for path in output_dir.glob("[!.]*") if is_run(path)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's."""
    return (folder / RUN).is_file() or bool(seeds_of(folder))


def is_seed(folder: Path) -> bool:
    """Return whether a folder is a seed's."""
    return (folder / SEED).is_file()


def run_of(path: Path) -> Path | None:
    """Return the run that a path is or is in, None if there is none."""
    path = path.resolve()
    for folder in (path, *list(path.parents)[:3]):
        if is_seed(folder):
            return folder.parent
        if is_run(folder):
            return folder
    return None


def find(name: str, output_dir: Path, key: str) -> Path | None:
    """Return the run's or seed's folder of a path, a name or an id (whole, or a prefix of 6 characters or more).

    `<sweep>/<point>` is the point's first seed.

    Raises:
        ConfigError: an ambiguous prefix; `key` names the setting in the message.
    """
    for folder in (Path(name).expanduser(), output_dir / name):
        if folder.is_dir() and (is_seed(folder) or is_run(folder)):
            return folder.resolve()
    known = identifiers(output_dir)
    if name in known:
        return known[name]
    sweep, _, point = name.rpartition("/")
    if sweep and (run_dir := find(sweep, output_dir, key)) is not None and is_run(run_dir):
        of_point = [seed for seed in seeds_of(run_dir) if seed.name.startswith(f"{point}-")]
        return of_point[0] if of_point else None
    found = {path for word, path in known.items() if len(name) >= SHORTEST_PREFIX and word.startswith(name)}
    if len(found) > 1:
        names = ", ".join(sorted(path.relative_to(output_dir.resolve()).as_posix() for path in found))
        raise ConfigError(f"{key}={name!r} matches {names}: give more characters")
    return next(iter(found), None)


def identifiers(output_dir: Path) -> dict[str, Path]:
    """Return every local name and id: run names, seeds' local ids, MLflow run ids of seeds and runs, former ones too.

    An id that a folder shares with its copy is that of the folder which is where it was made.
    """
    names: dict[str, Path] = {}
    here: dict[str, Path] = {}
    moved: dict[str, Path] = {}
    former: dict[Path, list[str]] = {}
    for run_dir in map(Path.resolve, runs_in(output_dir)):
        names[run_dir.name] = run_dir
        for folder in (run_dir, *seeds_of(run_dir)):
            seed, uploaded, plan = (read_if_sound(folder / name) for name in (SEED, UPLOADED, PLAN))
            ids = (seed.get("id"), seed.get("mlflow_run_id"), uploaded.get("run_id"))
            at_home = plan.get("place") in (None, str(folder))
            (here if at_home else moved).update({word: folder for word in ids if word})
            former[folder] = list(plan.get("former_ids", ()))
    copies_first = sorted(former, key=lambda folder: here.keys().isdisjoint(former[folder]))
    return {word: folder for folder in copies_first for word in former[folder]} | moved | here | names


def bundle_in(folder: Path, alias: str, say: Callable[[str], None]) -> Path | None:
    """Return the bundle that a folder is or holds, None if it is no kind of folder that holds any.

    Args:
        folder: a bundle, a `checkpoints` folder, a seed or a run with one seed.
        alias: `best`, `last` or the name of a checkpoint's folder.
        say: called if a checkpoint other than the requested one is used.

    Raises:
        ConfigError: several seeds, or no checkpoint.
    """
    from recsys_cli.tracking.bundle import MANIFEST

    if (folder / MANIFEST).is_file():
        return folder
    if folder.name == CHECKPOINTS:
        return _pick(folder, alias, say)
    if is_seed(folder):
        return _pick(folder / CHECKPOINTS, alias, say)
    seeds = seeds_of(folder)
    if not seeds and not is_run(folder):
        return None
    if not seeds:
        raise ConfigError(f"run {folder} has no seed yet, so no checkpoint")
    if best := _best_of_sweep(folder, seeds):
        say(f"{folder.name}: the best point's checkpoint, {best.name}")
        return _pick(best / CHECKPOINTS, alias, say)
    if len(seeds) > 1:
        names = ", ".join(f"{folder.name}/{seed.name}" for seed in seeds)
        raise ConfigError(f"run {folder.name} has {len(seeds)} seeds; name one: {names}")
    return _pick(seeds[0] / CHECKPOINTS, alias, say)


def spell_bundle(bundle_dir: Path, reference: str) -> str:
    """Return `<run>/<seed>` of a bundle in a run's folder; of any other the reference that named it."""
    seed_dir = bundle_dir.parent.parent
    return f"{seed_dir.parent.name}/{seed_dir.name}" if is_seed(seed_dir) else reference


def _best_of_sweep(folder: Path, seeds: list[Path]) -> Path | None:
    """Return the first seed of a sweep's best point; None for other runs, and for sweeps with one for each problem."""
    best = list(read_json(folder / BEST, default={}).get("best", {}).values())
    own = [seed for seed in seeds if len(best) == 1 and seed.name.startswith(f"{best[0]['point']}-")]
    return own[0] if own else None


def _pick(checkpoints: Path, alias: str, say: Callable[[str], None]) -> Path:
    """Return the complete bundle that an alias names, or with a notice the next best one."""
    whole = _bundles(checkpoints)
    if not whole:
        raise ConfigError(f"{checkpoints.parent} has no checkpoint yet")
    if alias not in ALIASES:
        if checkpoints / alias in whole:
            return checkpoints / alias
        raise ConfigError(f"{checkpoints} has no checkpoint {alias!r}; it has {', '.join(path.name for path in whole)}")
    if (asked := pointed(checkpoints, alias, say)) is not None and checkpoints / asked["path"] in whole:
        return checkpoints / str(asked["path"])
    last = pointed(checkpoints, "last", say) if alias == "best" else None
    name, found = ("last", checkpoints / last["path"]) if last else ("the newest", whole[-1])
    say(f"{checkpoints.parent} has no {alias!r} checkpoint; using {name}, {found.name}")
    return found


def pointed(checkpoints: Path, alias: str, say: Callable[[str], None] = warn) -> dict[str, Any] | None:
    """Return the content of `best.json` or `last.json`, None if there is none or it names no checkpoint.

    Of a `last.json` that is damaged, or names a checkpoint that is gone, the newest one takes the place.
    """
    file, whole = checkpoints / f"{alias}.json", _bundles(checkpoints, "step_*")
    pointer = read_if_sound(file)
    name, steps = pointer.get("path"), pointer.get("steps")
    if isinstance(name, str) and isinstance(steps, int) and checkpoints / Path(name).name in whole:
        return {**pointer, "path": Path(name).name}
    if not file.exists() or alias != "last" or not whole:
        return None
    say(f"{checkpoints.parent} has no 'last' checkpoint; using the newest, {whole[-1].name}")
    return {"path": whole[-1].name, "steps": int(whole[-1].name.removeprefix("step_"))}


def _bundles(checkpoints: Path, pattern: str = "[!.]*") -> list[Path]:
    from recsys_cli.tracking.bundle import is_bundle  # not above: shell completion lists runs without NumPy

    return sorted(path for path in checkpoints.glob(pattern) if is_bundle(path))
