"""The run folder: names, config, checkpoints. Every write is atomic."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.schema import TrainConfig
from recsys_cli.files import atomic_dir, read_json, update_json, write_json, write_text
from recsys_cli.tracking.address import check_uri, resolved_uri
from recsys_cli.tracking.bundle import TRAINING_STATE, Bundle, copy_bundle, is_bundle, read_bundle, write_bundle
from recsys_cli.tracking.folder import CONFIG, SEED
from recsys_cli.tracking.local_runs import CHECKPOINTS, RUN, is_run, pointed
from recsys_cli.tracking.provenance import git_commit, versions

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training

# A seed's state, in its `seed.json`.
WAITING, RUNNING, PAUSED = "waiting", "running", "paused"
FINISHED, PRUNED, STOPPED, FAILED = "finished", "pruned", "stopped", "failed"


START = "start"  # bundle from whose parameters the run's trainings start


def create_run(config: TrainConfig, root: str, command: list[str], start: Path | None = None, **about: Any) -> Path:
    """Make a new folder under `output_dir`, with the resolved config and provenance.

    Args:
        config: resolved.
        root: the command that makes it.
        command: the command line.
        start: bundle to start from, which is copied; None: none.
        about: more values for `run.json`.

    Raises:
        ConfigError: `name` is taken, the folder cannot be written, or `tracking.uri` is no MLflow address.
    """
    what = f"{config.env.name}-{config.algo.name}" if root == "train" else f"{root}-{config.algo.name}"
    name = config.name or f"{time.strftime('%Y%m%d-%H%M%S')}-{what}-{uuid.uuid4().hex[:4]}"
    folder = Path(config.output_dir).expanduser().resolve() / name
    if config.tracking.enabled:
        check_uri(resolved_uri(config.tracking.uri, folder.parent))
    about = {
        "name": name,
        "command": command,
        "config_path": folders.origins(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "env": config.env.name,
        "algo": config.algo.name,
        **about,
        "versions": versions(),
        "git_commit": git_commit(Path.cwd()),
    }
    with _made(folder, config.output_dir):
        write_text(folder / CONFIG, config.to_yaml())
        write_json(folder / RUN, about)
        if start is not None:
            copy_bundle(start, folder / START)
    return folder


@contextmanager
def _made(folder: Path, output_dir: str) -> Iterator[None]:
    """Make a run's folder; if it cannot be made or filled, nothing of it is left."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        name = folder.name
        resume = f", or continue it by resume={name}" if is_run(folder) else "; it is no run"
        raise ConfigError(f"name={name}: {folder} exists; take another name{resume}") from None
    except OSError as error:
        _remove_empty(missing)
        raise ConfigError(f"output_dir={output_dir}: {folder} cannot be made: {error.strerror}") from None
    try:
        yield
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(missing)
        raise ConfigError(f"output_dir={output_dir}: nothing can be written to {folder}: {error.strerror}") from None


def _remove_empty(made: list[Path]) -> None:
    with suppress(OSError):
        for parent in made:
            parent.rmdir()


def keep_config(run_dir: Path, config: TrainConfig) -> None:
    """Write a continued run's config if it changed, so that the next continuation uses it."""
    text = config.to_yaml()
    if (run_dir / CONFIG).read_text(encoding="utf-8") != text:
        write_text(run_dir / CONFIG, text)


def note(folder: Path, **values: Any) -> None:
    """Update a seed's `seed.json`."""
    update_json(folder / SEED, lambda about: about.update(values))


def read_seed(folder: Path) -> dict[str, Any]:
    """Return the content of a seed's `seed.json`."""
    return dict(read_json(folder / SEED, default={}))


def started_from(run_dir: Path) -> Bundle | None:
    """Return the bundle from whose parameters a run's trainings start, None if from none."""
    return read_bundle(run_dir / START) if is_bundle(run_dir / START) else None


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one seed: `step_*` folders, and `last.json` and `best.json` that point at two of them."""

    folder: Path
    keep: int

    @classmethod
    def of(cls, folder: Path, config: TrainConfig) -> Checkpoints:
        """Return the checkpoints in a seed's folder."""
        return cls(folder / CHECKPOINTS, config.checkpoint.keep)

    def write(
        self,
        training: Training,
        config: TrainConfig,
        seed: int,
        *,
        metrics: Mapping[str, float],
        best_return: float | None,
    ) -> Path:
        """Write a checkpoint atomically, point `last` (and `best`) at it, and delete old ones.

        Args:
            training: to be saved.
            config: resolved.
            seed: its number.
            metrics: the report at this env step, for a training resumed after a kill.
            best_return: greedy return, if this is the best so far.
        """
        steps = training.steps
        path = self.at(steps)
        with atomic_dir(path) as temporary:
            training.save(temporary / TRAINING_STATE)
            write_bundle(
                temporary,
                config=config.to_dict(),
                spec=config.env.spec,
                policy_state=training.policy().tensors(),
                profile=config.env.profile,
                info={
                    "steps": steps,
                    "seed": seed,
                    "config_path": folders.origins(),
                    "versions": versions(),
                    "metrics": dict(metrics),
                },
            )
        pointer = {"path": path.name, "steps": steps}
        if best_return is not None:
            write_json(self.folder / "best.json", {**pointer, "return": best_return})
        write_json(self.folder / "last.json", pointer)
        self._drop_old()
        return path

    def at(self, steps: int) -> Path:
        """Return the folder of the checkpoint at these steps."""
        return self.folder / f"step_{steps:09d}"

    def pointed(self, alias: str) -> dict[str, Any] | None:
        """Return the content of `best.json` or `last.json` (see `local_runs.pointed`), None if there is none."""
        return pointed(self.folder, alias)

    def path(self, alias: str) -> Path | None:
        """Return the folder that an alias points at."""
        pointer = self.pointed(alias)
        return self.folder / pointer["path"] if pointer else None

    def final(self, config: TrainConfig) -> Path | None:
        """Return the checkpoint that a training is judged by: the last, or from a log the best by estimate."""
        best = None if config.data is None else self.path("best")
        return best or self.path("last")

    def metrics(self) -> dict[str, float]:
        """Return what was reported at the last checkpoint."""
        last = self.path("last")
        return dict(read_bundle(last).info.get("metrics", {})) if last else {}

    def _drop_old(self) -> None:
        pointed = {pointer["path"] for alias in ("best", "last") if (pointer := self.pointed(alias))}
        steps = sorted(path for path in self.folder.glob("step_*"))
        for path in steps[: -self.keep]:
            if path.name not in pointed:
                shutil.rmtree(path, ignore_errors=True)
