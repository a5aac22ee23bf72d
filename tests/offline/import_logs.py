"""Logs as users have them, for tests of `recsys import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml

from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.importing.log import import_log
from recsys_cli.offline.importing.mapping import load_mapping
from recsys_cli.offline.importing.readers import expand
from recsys_cli.offline.importing.report import Report

ITEMS, CANDIDATES, SIZE = 12, 6, 2
MAPPING = {
    "rows": "slate",
    "session": "session",
    "step": "step",
    "time": "time",
    "user": ["age", "country"],
    "slate": {"columns": "slate"},
    "candidates": {"columns": "candidates"},
    "clicks": {"columns": "click", "of": "positions"},
    "reward": {"columns": "reward", "of": "row", "low": 0, "high": 10},
    "propensity": {"columns": "propensity"},
}


def slate_rows(sessions: int = 60, steps: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Return one row per slate, shown uniformly at random."""
    rng, rows = np.random.default_rng(seed), []
    for session in range(sessions):
        age, country = int(rng.integers(18, 80)), str(rng.choice(["AT", "DE", "FR"]))
        for step in range(steps):
            candidates = rng.choice(ITEMS, CANDIDATES, replace=False)
            slate = rng.choice(candidates, SIZE, replace=False)
            click = int(rng.integers(-1, SIZE))
            rows.append(
                {
                    "session": f"s{session:03d}",
                    "step": step,
                    "time": 1_700_000_000_000 + 3_600_000 * session + 1_000 * step,
                    "age": age,
                    "country": country,
                    "candidates": [f"item-{i}" for i in candidates],
                    "slate": [f"item-{i}" for i in slate],
                    "click": click,
                    "reward": 0.0 if click < 0 else float(slate[click] % 5 + 0.5),
                    "propensity": [1 / CANDIDATES, 1 / (CANDIDATES - 1)],
                }
            )
    return rows


def impressions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per shown item of the same log."""
    shared = ("session", "step", "time", "age", "country", "candidates", "reward")
    return [
        {
            **{name: row[name] for name in shared},
            "request": f"{row['session']}-{row['step']}",
            "item": item,
            "rank": position + 1,
            "clicked": int(row["click"] == position),
            "propensity": row["propensity"][position],
        }
        for row in rows
        for position, item in enumerate(row["slate"])
    ]


IMPRESSIONS = {
    **{name: MAPPING[name] for name in ("session", "step", "time", "user", "candidates", "reward", "propensity")},
    "rows": "impression",
    "slate_id": "request",
    "slate": {"columns": "item", "position": "rank"},
    "clicks": {"columns": "clicked"},
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the file's name says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    flat = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    pyarrow.csv.write_csv(pa.Table.from_pylist(flat), path)
    return path


def write_mapping(path: Path, mapping: dict[str, Any], **changes: Any) -> Path:
    """Write a mapping with some keys replaced; None takes a key out."""
    values = {key: value for key, value in {**mapping, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(values))
    return path


def imported(
    folder: Path, log: Path, mapping: dict[str, Any], rows: int = 500_000, **changes: Any
) -> tuple[Dataset, Report]:
    """Import a log into a new data set."""
    number = len(list(folder.glob("*.yaml")))
    path = write_mapping(folder / f"mapping-{number}.yaml", mapping, **changes)
    return import_log(
        load_mapping(path), expand(str(log)), folder / f"data-{number}", beside=folder, rows_in_memory=rows
    )
