"""`recsys train from=<sweep>/best`: the words of a sweep's point, to be trained anew."""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.tracking.files import read_json
from recsys_cli.tracking.local_runs import BEST, SWEEP
from recsys_cli.tracking.references import resolve_run

KEY = "from"
_OF_THE_SWEEP = ("search", "space", "dry_run", "name", "output_dir", "progress")


def expand(words: list[str]) -> list[str]:
    """Return the words with `from=<sweep>/<point>` replaced by the point's; those given beside it go before them.

    Raises:
        ConfigError: no such sweep or point.
    """
    asked = [word for word in words if word.startswith(f"{KEY}=")]
    if not asked or asked == [f"{KEY}=null"]:
        return words
    rest = [word for word in words if word not in asked]
    output_dir = next((word.partition("=")[2] for word in rest if word.startswith("output_dir=")), "runs")
    reference = asked[-1].partition("=")[2].rstrip("/")
    found = _point_words(reference, Path(output_dir).expanduser())
    kept = [word for word in found if word.partition("=")[0].split(".")[0] not in _OF_THE_SWEEP]
    return [*kept, *rest]


def _point_words(reference: str, output_dir: Path) -> list[str]:
    name, _, point = reference.rpartition("/")
    if (output_dir / reference).is_dir() or not name:
        name, point = reference, "best"
    sweep_dir = resolve_run(name, output_dir, KEY)
    about = read_json(sweep_dir / SWEEP)
    if about is None:
        raise ConfigError(
            f"{KEY}={reference}: {name} is a run and no sweep; evaluate it, or continue it by resume={name}"
        )
    known = {planned["name"]: list(planned["words"]) for planned in about["points"]}
    best = {
        found["point"]: found["words"] for found in read_json(sweep_dir / BEST, default={"best": {}})["best"].values()
    }
    if point != "best":
        if point not in known:
            near = closest(point, known)
            raise ConfigError(
                f"{KEY}={reference}: the sweep has no point {point}; it has best and {', '.join(known)}{near}"
            )
        return best.get(point, known[point])
    if not best:
        raise ConfigError(f"{KEY}={reference}: the sweep has no best point yet: recsys sweep resume={sweep_dir.name}")
    if len(best) > 1:
        raise ConfigError(
            f"{KEY}={reference}: the sweep has a best point for each problem: name one of {', '.join(best)}"
        )
    return list(next(iter(best.values())))
