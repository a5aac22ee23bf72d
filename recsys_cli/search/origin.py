"""`recsys train from=...`: a sweep's point to train anew, or a checkpoint whose training goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.config import structured
from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.overrides import reference
from recsys_cli.config.schema import TrainConfig
from recsys_cli.config.types import spelled
from recsys_cli.config.words import key_of, layered
from recsys_cli.files import read_json
from recsys_cli.tracking.local_runs import BEST, SWEEP, find
from recsys_cli.tracking.references import resolve

KEY = structured.ORIGIN
_OF_THE_SWEEP = ("search", "space", "dry_run", "name", "output_dir", "progress")


@dataclass(frozen=True)
class Origin:
    """What `from=` names.

    Attributes:
        words: the overrides of a training from there; those typed win.
        start: bundle whose parameters it starts from; None: from none.
        asked: as typed.
    """

    words: list[str]
    start: Path | None = None
    asked: str = ""

    def check(self, config: TrainConfig) -> None:
        """Refuse a checkpoint from which the training that the words make cannot start.

        Raises:
            ConfigError: its parameters do not fit the algorithm and the problem.
        """
        from recsys_cli.tracking.bundle import read_bundle
        from recsys_cli.tracking.loading import check_start

        if self.start is None:
            return
        try:
            check_start(config.learner, config.env.spec, read_bundle(self.start))
        except ConfigError as error:
            raise ConfigError(f"{KEY}={self.asked}: {error}") from None


def expand(words: list[str]) -> Origin:
    """Return the overrides with `from=` replaced by what it stands for.

    Raises:
        ConfigError: no such sweep, point or checkpoint, or a checkpoint that is not sound.
    """
    asked = reference(words, KEY)
    rest = [word for word in words if key_of(word) != KEY]
    if asked is None:
        return Origin(rest)
    asked, output_dir = asked.rstrip("/"), Path(reference(rest, "output_dir") or "runs").expanduser()
    point = _point(asked, output_dir)
    if point is None:
        start = resolve(asked, output_dir, _tracking_uri(rest), key=KEY)
        return Origin(layered([*_of_checkpoint(start, asked, rest), *rest]), start, asked)
    found = _words_of(*point, asked)
    kept = [word for word in found if key_of(word).split(".")[0] not in _OF_THE_SWEEP]
    return Origin(layered([*kept, *rest]))


def _point(asked: str, output_dir: Path) -> tuple[Path, str] | None:
    """Return the sweep and the name of its point; None if something else is named."""
    if asked.startswith("models:"):
        return None
    name, _, last = asked.rpartition("/")
    seed = any(place.is_dir() for place in (Path(asked).expanduser(), output_dir / asked))
    for sweep, point in ((asked, "best"), *([] if seed else [(name, last)])):
        found = find(sweep, output_dir, KEY) if sweep else None
        if found is not None and (found / SWEEP).is_file():
            return found, point
    return None


def _words_of(sweep_dir: Path, point: str, asked: str) -> list[str]:
    """Return the overrides of a sweep's point."""
    about = read_json(sweep_dir / SWEEP)
    known = {planned["name"]: list(planned["words"]) for planned in about["points"]}
    best = {
        found["point"]: found["words"] for found in read_json(sweep_dir / BEST, default={"best": {}})["best"].values()
    }
    if point != "best":
        if point not in known:
            near = closest(point, known)
            raise ConfigError(
                f"{KEY}={asked}: the sweep has no point {point}; it has best and {', '.join(known)}.{near}"
            )
        return best.get(point, known[point])
    if not best:
        raise ConfigError(f"{KEY}={asked}: the sweep has no best point yet: recsys sweep resume={sweep_dir.name}")
    if len(best) > 1:
        raise ConfigError(f"{KEY}={asked}: the sweep has a best point for each problem: name one of {', '.join(best)}")
    return list(next(iter(best.values())))


def _tracking_uri(words: list[str]) -> str | None:
    option, uri = reference(words, "tracking"), reference(words, "tracking.uri")
    tracking = structured.load("tracking", option or "mlflow", **({"uri": uri} if uri else {}))
    found: str | None = tracking.uri
    return found


def _of_checkpoint(start: Path, asked: str, words: list[str]) -> Iterator[str]:
    """Yield the overrides of a checkpoint's algorithm and problem, unless the command names others.

    With `data=` the problem is the log's, and the checkpoint's env is played only if the command has an `env` key.
    """
    from recsys_cli.tracking.loading import load_checkpoint

    checkpoint = load_checkpoint(start)
    config, algo = checkpoint.bundle.config, checkpoint.algo
    env, typed = config.get("env") or {}, {key_of(word).split(".")[0] for word in words}
    played, before, data = env.get("played") if "played" in env else env, config.get("data"), reference(words, "data")
    if before is not None and typed.isdisjoint(("data", "env")):
        data = str(before)
        yield f"data={spelled(data)}"
    if reference(words, "algo") in (None, algo.name):
        changed = (data is None) != (before is None)
        yield from _spelled("algo", structured.to_plain(algo), algo.by_source if changed else ())
    named = reference(words, "env")
    if played and named in (None, played.get("name")) and (reference(words, "data") is None or "env" in typed):
        yield from _spelled("env", played)
        if "policies" not in typed and data is None:
            yield f"policies={config.get('policies', 'shared')}"
    elif data is None and named is None:
        raise ConfigError(f"{KEY}={asked} was trained from a log, which cannot be played: name the problem with env=")


def _spelled(group: str, values: Mapping[str, Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a group's option and all its keys but some as overrides."""
    yield f"{group}={values.get('name')}"
    yield from _dotted({key: value for key, value in values.items() if key not in ("name", *without)}, group)


def _dotted(values: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{at}.{key}")
        elif key != structured.TARGET:
            yield f"{at}.{key}={spelled(value)}"
