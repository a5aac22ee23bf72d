"""`recsys train from=<sweep>/best`: the overrides of a sweep's point, to train it again."""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.tracking.files import read_json
from recsys_cli.tracking.local_runs import BEST, SWEEP
from recsys_cli.tracking.references import resolve_run

KEY = "from"
_OF_THE_SWEEP = ("search", "space", "dry_run", "name", "output_dir", "progress")


def expand(words: list[str]) -> list[str]:
    """Return the overrides with `from=<sweep>/<point>` replaced by the point's; explicit ones win.

    Raises:
        ConfigError: no such sweep or point.
    """
    asked = [word for word in words if word.lstrip("+").startswith(f"{KEY}=")]
    rest = [word for word in words if word not in asked]
    if len(asked) > 1:
        raise ConfigError(f"{' '.join(asked)}: one point is expected")
    reference = _value(asked, "")
    if reference in ("", "null"):
        return rest
    found = _point_words(reference, Path(_value([word for word in rest if word.startswith("output_dir=")], "runs")))
    kept = [word for word in found if word.lstrip("+").partition("=")[0].split(".")[0] not in _OF_THE_SWEEP]
    return [*kept, *rest]


def _value(words: list[str], default: str) -> str:
    """Return the value of the last override, without the quotes of Hydra's grammar."""
    return words[-1].partition("=")[2].strip("'\"").rstrip("/") if words else default


def _point_words(reference: str, output_dir: Path) -> list[str]:
    name, _, point = reference.rpartition("/")
    if (output_dir.expanduser() / reference).is_dir() or not name:
        name, point = reference, "best"
    sweep_dir = resolve_run(name, output_dir.expanduser(), KEY)
    about = read_json(sweep_dir / SWEEP)
    if about is None:
        raise ConfigError(
            f"{KEY}={reference}: {name} is a run, not a sweep; evaluate it, or continue it with resume={name}"
        )
    known = {planned["name"]: list(planned["words"]) for planned in about["points"]}
    best = {
        found["point"]: found["words"] for found in read_json(sweep_dir / BEST, default={"best": {}})["best"].values()
    }
    if point != "best":
        if point not in known:
            near = closest(point, known)
            raise ConfigError(
                f"{KEY}={reference}: the sweep has no point {point}; it has best and {', '.join(known)}.{near}"
            )
        return best.get(point, known[point])
    if not best:
        raise ConfigError(f"{KEY}={reference}: the sweep has no best point yet: recsys sweep resume={sweep_dir.name}")
    if len(best) > 1:
        raise ConfigError(
            f"{KEY}={reference}: the sweep has a best point for each problem: name one of {', '.join(best)}"
        )
    return list(next(iter(best.values())))
