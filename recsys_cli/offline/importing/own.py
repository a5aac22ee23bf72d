"""The mapping of this program's own data sets: what `recsys record` and `recsys import` write can be imported again."""

from __future__ import annotations

from typing import Any

from recsys_cli.envs.spec import INDEX, ProblemSpec
from recsys_cli.offline.dataset import ITEMS, Dataset
from recsys_cli.offline.layout import RESPONSE


def mapping_of(dataset: Dataset) -> dict[str, Any]:
    """Return the mapping of a data set's parts, or of a copy of them as CSV or JSON lines with the same columns."""
    import pyarrow.parquet as pq

    spec = dataset.spec
    there = set(pq.read_schema(dataset.folder / dataset.parts[0].file).names)
    mapping: dict[str, Any] = {"rows": "slate", "session": "episode", "step": "step"}
    if "time" in there:
        mapping["time"] = "time"
    if "user" in there:
        mapping["user"] = ["user"]
    mapping["slate"] = {"columns": "slate", "of": "positions"}
    mapping["candidates"] = {"columns": "doc", **_documents(spec), **({"mask": "mask"} if "mask" in there else {})}
    if spec.documents.items is not None:
        mapping["items"] = {"file": str((dataset.folder / ITEMS).resolve())}
    elif spec.documents.compact == INDEX:
        mapping["items"] = {"topics": spec.documents.topics}
    if f"{RESPONSE}click" in there:
        mapping["clicks"] = {"columns": f"{RESPONSE}click"}
    else:
        mapping["clicks"] = {"columns": "clicked", "of": "positions", "none": spec.slate_size}
    mapping["reward"] = {"columns": "reward", "of": "row"}
    names = [each.name for each in spec.response if each.name != "click" and f"{RESPONSE}{each.name}" in there]
    mapping["response"] = {name: f"{RESPONSE}{name}" for name in names}
    if "log_propensity" in there:
        mapping["propensity"] = {"columns": "log_propensity", "scale": "log"}
    return {**mapping, **{name: name for name in ("terminated", "truncated", "valid")}}


def _documents(spec: ProblemSpec) -> dict[str, Any]:
    if spec.documents.compact == INDEX:
        return {}
    return {"of": "features", "width": len(spec.documents)}
