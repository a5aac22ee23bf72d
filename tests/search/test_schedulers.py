"""What Tune knows of a sweep's trials."""

from __future__ import annotations

import pytest
from ray.tune.search import BasicVariantGenerator

from recsys_cli.search.schedulers import GivenTrials


class Ending:
    ended = False

    def is_finished(self) -> bool:
        return self.ended


def test_a_search_is_over_when_its_trials_are(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [Ending(), Ending()]
    waiting = iter([*trials, None])
    search = GivenTrials()
    monkeypatch.setattr(BasicVariantGenerator, "next_trial", lambda self: next(waiting))
    assert [search.next_trial() for _ in range(3)] == [*trials, None]
    search.set_finished()
    for trial in trials:
        assert not search.is_finished()  # a paused one may go on, in the process that Tune then keeps
        trial.ended = True
    assert search.is_finished()
    assert "begun" not in search.get_state()
