"""`recsys train resources=gpu`, and its checkpoint on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import SMOKE, Recsys

pytestmark = [
    pytest.mark.xdist_group("commands"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
SHORT = (*SMOKE, "tracking=off", "algo.learning_starts=500", "algo.batch_size=64", "resources=gpu")


@pytest.mark.parametrize("more", [(), ("framework=torch_compile",), ("resources.learners=1",)])
def test_a_policy_trained_on_a_gpu_plays_without(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recsys = Recsys(tmp_path)
    trained = recsys("train", *SHORT, *more, "name=there")
    assert trained.code == 0, trained
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    played = recsys("evaluate", "checkpoint=runs/there", "users=50", "tracking=off")
    assert played.code == 0 and "slateq" in played.out, played
