"""Baselines whose simulator fails end the run, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys_cli.cli import main
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.interest_evolution_env import InterestEvolutionVectorEnv
from recsys_cli.runs.baselines import Baselines

WORDS = ("algo=random", "tracking=off", "resources=inline", "resources.users_per_runner=16", "evaluation.users=20")


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the 30th step on the simulator returns NaN if it plays 20 users, as those of the evaluation are."""
    advance = InterestEvolutionVectorEnv._advance

    def bad_advance(self, slates, active):
        response, reward, terminated = advance(self, slates, active)
        if self.num_envs == 20 and self._steps[7] >= 29:
            reward[7] = np.nan
        return response, reward, terminated

    monkeypatch.setattr(InterestEvolutionVectorEnv, "_advance", bad_advance)


def test_the_error_is_handed_on_at_once(poisoned: None) -> None:
    run, shown, failed = compose("train", list(WORDS)), [], []
    playing = Baselines(run.evaluation, run.env, shown.append, failed.append)
    with pytest.raises(
        ConfigError, match=r"evaluation\.baselines: the simulator returned reward=nan for user 7 in lock-st"
    ):
        playing.result()
    assert not shown and isinstance(failed[0], FloatingPointError)


def test_the_run_ends_with_one_line_and_no_evaluation(
    poisoned: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *WORDS, "steps=64", "name=r", f"output_dir={tmp_path}", "progress=plain"]) == 2
    captured = capsys.readouterr()
    assert "recsys: error: evaluation.baselines: the simulator returned reward=nan for user 7" in captured.err
    assert "Traceback" not in captured.err + captured.out and "baselines: random" not in captured.out
    assert not list(tmp_path.rglob("evaluation*.json"))
