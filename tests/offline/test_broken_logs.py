"""Broken logs: each is refused in one line, or imported without what is broken, which is counted and kept aside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from import_logs import MAPPING, slate_rows, write, write_mapping

from recsys_cli.cli import main
from recsys_cli.offline.dataset import Dataset

Rows = list[dict[str, Any]]
ITEMS_FILE = {"items": {"file": "items.csv", "id": "id"}}


class Broken(NamedTuple):
    """A broken log.

    Attributes:
        change: breaks the rows, in place.
        says: what is printed, in one line of the error or among the refusals.
        refused: rows kept aside; None: nothing is imported.
        mapping: changes to it.
        suffix: of the log's file.
        damage: breaks the file.
    """

    change: Callable[[Rows], object]
    says: str
    refused: int | None = None
    mapping: dict[str, Any] = {}  # noqa: RUF012
    suffix: str = "csv"
    damage: Callable[[bytes], bytes] = lambda data: data


def nothing(rows: Rows) -> None:
    """Break nothing."""


def each(change: Callable[[dict[str, Any]], object], *which: int) -> Callable[[Rows], object]:
    """Return what changes some rows; all if none is named."""
    return lambda rows: [change(row) for i, row in enumerate(rows) if not which or i in which]


def setting(key: str, value: Any, *which: int) -> Callable[[Rows], object]:
    """Return what sets a cell of some rows."""
    return each(lambda row: row.update({key: value}), *which)


def propensity(function: Callable[[Any], Any]) -> Callable[[Rows], object]:
    """Return what changes all propensities."""
    return each(lambda row: row.update(propensity=np.round(function(np.array(row["propensity"])), 6).tolist()))


def of_set(row: dict[str, Any]) -> None:
    row["propensity"] = 2 * float(np.prod(row["propensity"]))


BROKEN = {
    "an empty file": Broken(nothing, "is empty", damage=lambda data: b""),
    "a header and no rows": Broken(nothing, "no row could be read", damage=lambda data: data.split(b"\n")[0] + b"\n"),
    "half a Parquet file": Broken(nothing, "is no parquet file", suffix="parquet", damage=lambda d: d[: len(d) // 2]),
    "a text that is not UTF-8": Broken(
        setting("country", "Österreich", 4), "is no csv file", damage=lambda d: d.decode().encode("latin-1")
    ),
    "a column that is not there": Broken(
        nothing, "Did you mean 'reward'?", mapping={"reward": {"columns": "rewrad", "of": "row"}}
    ),
    "another delimiter": Broken(nothing, "set delimiter=';'", damage=lambda d: d.replace(b'","', b'";"')),
    "two columns of one name": Broken(
        nothing, "two columns have the name step", damage=lambda d: d.replace(b'"age"', b'"step"')
    ),
    "a last line cut in the middle": Broken(
        nothing, "damaged line: no JSON", 1, suffix="jsonl", damage=lambda d: d[:-40]
    ),
    "a line with a cell too many": Broken(
        nothing,
        "damaged line: 11 cells instead of 10",
        1,
        damage=lambda d: d.replace(b"\n", b"\n0,", 2).replace(b"\n0,", b"\n", 1),
    ),
    "sessions without an id": Broken(setting("session", None, 3, 4), "session is missing", 2),
    "the same rows twice": Broken(lambda rows: rows.extend(rows[:10]), "10 duplicate", 10),
    "time that goes backwards": Broken(setting("time", 1_600_000_000_000, 12), "time goes backwards", 1),
    "times in seconds, not milliseconds": Broken(
        each(lambda row: row.update(time=row["time"] // 1_000)), "is time_unit=ms right?", 0
    ),
    "a reward that is no number": Broken(setting("reward", "n/a?", 5), "reward is no finite number", 1, suffix="jsonl"),
    "a reward out of range": Broken(setting("reward", 1e6, 5, 6), "2 reward outside [0, 10]", 2),
    "a user without an age": Broken(setting("age", None, 0), "user feature age is missing", 1),
    "a slate outside the candidates": Broken(
        each(lambda row: row.update(slate=["item-1", "elsewhere"]), 20), "slate outside the candidates", 1
    ),
    "an item shown twice": Broken(
        each(lambda row: row.update(slate=row["slate"][:1] * 2), 20), "an item twice in a slate", 1
    ),
    "an item that the items file lacks": Broken(
        each(lambda row: row.update(candidates=[*row["slate"], "item-77"]), 9),
        "unseen candidate: not in the items file",
        1,
        ITEMS_FILE,
    ),
    "a click on a third position of two": Broken(setting("click", 2, 30), "click outside the slate", 1),
    "a propensity above 1": Broken(setting("propensity", [1.5, 0.2], 8), "propensity outside (0, 1]", 1),
    "logarithms instead of probabilities": Broken(
        propensity(np.log), "they look like natural logarithms of each position"
    ),
    "probabilities instead of logarithms": Broken(
        nothing,
        "they look like probabilities of each position",
        mapping={"propensity": {"columns": "propensity", "scale": "log"}},
    ),
    "logarithms of another base": Broken(
        propensity(np.log10),
        "logarithms to base 10 of each position",
        mapping={"propensity": {"columns": "propensity", "scale": "log"}},
    ),
    "probabilities of sets, not of slates": Broken(
        each(of_set),
        "of the set of shown items, whatever their order",
        mapping={"propensity": {"columns": "propensity", "of": "slate"}},
    ),
    "positions that do not exclude what is shown": Broken(
        setting("propensity", [1 / 6, 1 / 6]), "of each position as if nothing were shown before it"
    ),
    "numbers too large for float32": Broken(
        lambda rows: [rows[3].update(age=1e300), rows[40].update(reward=1e300)], "reward is no finite number", 2
    ),
    "lines of JSON that are not UTF-8": Broken(
        setting("country", "Österreich", 4),
        "damaged line: no JSON",
        1,
        suffix="jsonl",
        damage=lambda data: data.replace(b"\\u00d6", b"\xd6"),
    ),
    "half of the rows broken": Broken(
        lambda rows: [row.update(reward=-1) for row in rows[::2]],
        "150 of 300 rows are refused (50.0%), more than max_refused=0.05",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_log_is_refused_or_reported(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = BROKEN[name]
    rows = slate_rows()
    broken.change(rows)
    log = write(tmp_path / f"log.{broken.suffix}", rows)
    log.write_bytes(broken.damage(log.read_bytes()))
    write(tmp_path / "items.csv", [{"id": f"item-{i}", "price": i} for i in range(12)])
    mapping = write_mapping(tmp_path / "mapping.yaml", MAPPING, **broken.mapping)
    code = main(["import", f"mapping={mapping}", f"data={log}", "name=log", f"data_dir={tmp_path / 'data'}"])
    out, err = capsys.readouterr()
    if broken.refused is None:
        assert code == 2 and broken.says in err and err.count("\n") == 1
        assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())
        return
    assert code == 0 and broken.says in out, out + err
    dataset = Dataset.open(tmp_path / "data" / "log")
    side = dataset.folder / "refused-00000.jsonl"
    kept_aside = [json.loads(line) for line in side.read_text().splitlines()] if broken.refused else []
    assert len(kept_aside) == broken.refused and side.exists() == (broken.refused > 0)
    assert dataset.steps == len(rows) - broken.refused
    assert all(row["reason"] in out and row["line"] > 0 for row in kept_aside)
