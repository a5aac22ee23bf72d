"""What replicas see of the router."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.files import write_json
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import RouterChange
from recsys_cli.serving.router.view import RouterView

NAMES = ("random", "myopic", "slateq")
USER = np.zeros((2, 0))
STATE = {"count": [500, 500, 500], "mean": [1.0, 2.0, 3.0], "scatter": [500.0, 500.0, 500.0]}


def view(folder: Path) -> RouterView:
    return RouterView(folder, load("router", "thompson"), NAMES)


def write(folder: Path, epoch: int, router: str = "thompson", names: tuple[str, ...] = NAMES) -> None:
    write_json(folder / "router.json", {"router": router, "names": names, "epoch": epoch, "state": STATE, "report": {}})


def test_an_epoch_reaches_every_replica(tmp_path: Path) -> None:
    first, second = view(tmp_path), view(tmp_path)
    assert first.epoch == 0 and first.weights(USER) == pytest.approx(np.full((2, 3), 1 / 3))
    assert not first.poll()
    write(tmp_path, 4)
    assert first.poll() and second.poll() and not second.poll()
    assert first.epoch == 4 and first.weights(USER)[1] == pytest.approx([0.05, 0, 0.95], abs=1e-3)
    assert np.array_equal(first.weights(USER), second.weights(USER))
    (tmp_path / "router.json").write_text("{")
    assert not first.poll() and first.epoch == 4


def test_the_state_of_other_policies_or_another_router_is_not_used(tmp_path: Path) -> None:
    for other in ({"router": "ucb1"}, {"names": ("random", "slateq", "myopic")}):
        write(tmp_path, 7, **other)  # type: ignore[arg-type]
        found = view(tmp_path)
        assert found.epoch == 7 and found.weights(USER)[0] == pytest.approx([1 / 3] * 3)


def test_switches_reach_all_replicas_and_survive(tmp_path: Path) -> None:
    write(tmp_path, 1)
    first, second = view(tmp_path), view(tmp_path)
    first.change(RouterChange(disable=["slateq"]))
    second.poll()
    for each in (first, second, view(tmp_path)):
        assert each.weights(USER)[0] == pytest.approx([0.05, 0.95, 0], abs=1e-3)
    second.change(RouterChange(only_control=True))
    first.poll()
    assert list(first.weights(USER)[0]) == [1, 0, 0] == list(view(tmp_path).weights(USER)[0])
    assert first.now.switches.only_control and first.now.switches.disabled == {"slateq"}
    first.change(RouterChange(only_control=False, enable=["slateq"]))
    assert first.weights(USER)[0] == pytest.approx([0.05, 0, 0.95], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (RouterChange(disable=["random"]), 422),
        (RouterChange(disable=["other"]), 404),
        (RouterChange(disable=["myopic"], enable=["myopic"]), 422),
    ],
)
def test_switches_that_make_no_sense_are_refused(tmp_path: Path, change: RouterChange, status: int) -> None:
    found = view(tmp_path)
    with pytest.raises(Refused) as refused:
        found.change(change)
    assert refused.value.status == status and not (tmp_path / "switches.json").exists()
