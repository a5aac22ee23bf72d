"""`recsys train from=<sweep>/best`: the overrides of a sweep's point, to train it again."""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.overrides import reference
from recsys_cli.config.words import key_of, layered
from recsys_cli.files import read_json
from recsys_cli.tracking.local_runs import BEST, SWEEP
from recsys_cli.tracking.references import resolve_run

KEY = "from"
_OF_THE_SWEEP = ("search", "space", "dry_run", "name", "output_dir", "progress")


def expand(words: list[str]) -> list[str]:
    """Return the overrides with `from=<sweep>/<point>` replaced by the point's; explicit ones win.

    Raises:
        ConfigError: no such sweep or point.
    """
    asked = reference(words, KEY)
    rest = [word for word in words if key_of(word) != KEY]
    if asked is None:
        return rest
    found = _point_words(asked.rstrip("/"), Path(reference(rest, "output_dir") or "runs"))
    kept = [word for word in found if key_of(word).split(".")[0] not in _OF_THE_SWEEP]
    return layered([*kept, *rest])


def _point_words(asked: str, output_dir: Path) -> list[str]:
    name, _, point = asked.rpartition("/")
    if (output_dir.expanduser() / asked).is_dir() or not name:
        name, point = asked, "best"
    sweep_dir = resolve_run(name, output_dir.expanduser(), KEY)
    about = read_json(sweep_dir / SWEEP)
    if about is None:
        raise ConfigError(
            f"{KEY}={asked}: {name} is a run, not a sweep; evaluate it, or continue it with resume={name}"
        )
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
