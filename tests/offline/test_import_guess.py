"""Guessed mappings work as they are if nothing is left open, and say what could not be guessed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from import_logs import MAPPING, imported, impressions, slate_rows, write
from test_dataset import assert_equal

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.importing.guess import guess
from recsys_cli.offline.importing.log import import_log
from recsys_cli.offline.importing.mapping import load_mapping
from recsys_cli.offline.steps import Steps

Rows = list[dict[str, Any]]


def renamed(names: dict[str, str]) -> Callable[[Rows], Rows]:
    return lambda rows: [{names.get(key, key): value for key, value in row.items()} for row in rows]


def spread(rows: Rows) -> Rows:
    """Return lists as numbered columns."""
    wide = []
    for row in rows:
        flat = {key: value for key, value in row.items() if not isinstance(value, list)}
        for key, names in {"candidates": "candidate_{}", "slate": "item_{}", "propensity": "prob{}"}.items():
            flat |= {names.format(i + 1): value for i, value in enumerate(row[key])}
        wide.append(flat)
    return wide


def each(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, **change(row)} for row in rows]


GUESSED: dict[str, Callable[[Rows], Rows]] = {
    "plain": lambda rows: rows,
    "other names": renamed({"session": "visitId", "time": "timestamp", "slate": "shown_items", "propensity": "pscore"}),
    "numbered columns": spread,
    "impressions": impressions,
    "impressions without a request": lambda rows: [
        {key: value for key, value in row.items() if key not in ("request", "rank")} for row in impressions(rows)
    ],
    "logarithms": each(lambda row: {"propensity": [math.log(p) for p in row["propensity"]]}),
    "clicks from 1, 0 for none": each(lambda row: {"click": row["click"] + 1}),
    "clicks from 0, 2 for none": each(lambda row: {"click": row["click"] % 3}),
    "clicks as flags": each(lambda row: {"click": [int(row["click"] == i) for i in range(2)]}),
    "clicked items": each(lambda row: {"click": None if row["click"] < 0 else row["slate"][row["click"]]}),
    "times in seconds": each(lambda row: {"time": row["time"] // 1_000}),
    "times as text": each(lambda row: {"time": f"2026-11-28 {row['step']:02d}:00:00Z"}),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    folder = tmp_path_factory.mktemp("plain")
    return imported(folder, write(folder / "plain.jsonl", slate_rows(sessions=30)), MAPPING)[0].load()


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, "csv") for name in GUESSED), ("plain", "jsonl"), ("plain", "parquet")]
)
def test_a_guessed_mapping_works_as_it_is(name: str, suffix: str, tmp_path: Path, expected: Steps) -> None:
    log = write(tmp_path / f"log.{suffix}", GUESSED[name](slate_rows(sessions=30)))
    lines = guess(log, tmp_path / "guessed.yaml")
    assert "next: recsys import mapping=" in lines[-1]
    dataset, report = import_log(load_mapping(tmp_path / "guessed.yaml"), [log], tmp_path / "guessed")
    steps = dataset.load()
    if name == "impressions without a request":
        assert any("rows of one step are one slate" in line for line in lines)
    assert not report.refused and steps.log_propensity is not None
    if name == "clicks from 0, 2 for none":  # 0 could be no click as well: said, and open to correction
        assert any("clicks" in line and "could not guess" in line for line in lines)
        steps.clicked = expected.clicked
    if name.startswith("times"):
        steps.time = expected.time
    assert_equal(steps, expected)


def test_the_items_file_beside_the_log_is_found(tmp_path: Path) -> None:
    log = write(tmp_path / "clicks.csv", slate_rows())
    write(tmp_path / "items.csv", [{"item_id": f"item-{i}", "price": i} for i in range(12)])
    guess(log, tmp_path / "guessed.yaml")
    dataset, _ = import_log(load_mapping(tmp_path / "guessed.yaml"), [log], tmp_path / "data")
    assert dataset.spec.documents.features.names == ("price",)


def test_a_user_s_rows_are_sessions_with_gaps(tmp_path: Path) -> None:
    rows = [
        {**{key: row[key] for key in ("time", "age", "item", "clicked", "propensity")}, "user_id": row["session"]}
        for row in impressions(slate_rows())
    ]
    lines = guess(write(tmp_path / "log.csv", rows), tmp_path / "guessed.yaml")
    mapping = load_mapping(tmp_path / "guessed.yaml")
    assert (mapping.session, mapping.session_gap, mapping.user) == ("user_id", "30m", ["age"])
    assert any("taken as a user" in line for line in lines)
    assert any("all items of the log are taken as candidates" in line for line in lines)


def test_what_cannot_be_guessed_is_left_open(tmp_path: Path) -> None:
    lines = guess(write(tmp_path / "log.csv", [{"a": 1, "b": "x"}] * 3), tmp_path / "guessed.yaml")
    assert "fill in ???" in lines[-1] and any("what was shown" in line for line in lines)
    with pytest.raises(ConfigError, match=r"slate\.columns is required"):
        load_mapping(tmp_path / "guessed.yaml")
    with pytest.raises(ConfigError, match="is there already"):
        guess(tmp_path / "log.csv", tmp_path / "guessed.yaml")
