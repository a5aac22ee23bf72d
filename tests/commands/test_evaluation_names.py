"""What `recsys evaluate` calls its file: the training's own is never among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys_cli.commands.evaluate import others_than

OWN = {"steps": 300, "users": 20, "seed": 1, "policies": {"slateq": {}, "random": {}, "oracle": {}}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"users": 7, "seed": 2}, ["users-7", "seed-2"]),
        ({"policies": {"slateq": {}}}, ["baselines-none"]),
        ({"policies": {"slateq epsilon:0.1": {}, "random": {}}}, ["baselines-random"]),
    ],
)
def test_what_differs_from_the_training_s_evaluation_is_named(tmp_path: Path, changes: dict, named: list[str]) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(OWN))
    assert others_than({**OWN, **changes}, tmp_path) == named


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_without_a_sound_one_all_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "evaluation.json").write_text(content)
    assert others_than(OWN, tmp_path) == ["steps-300", "users-20", "seed-1"]
