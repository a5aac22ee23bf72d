"""What `recsys describe` says, held against logs whose answer is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import played

from recsys_cli.cli import main
from recsys_cli.config.structured import load
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.describing import describe
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.streaming import Bins, Moments
from recsys_cli.offline.support import Support, SupportCheck
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import Observation
from recsys_cli.reporting.description import lines, uses
from recsys_cli.slates.distributions import PlackettLuceSlates, SlateDistribution

ENV = load("env", "interest_evolution", slate_size=3)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_moments_of_batches_are_those_of_the_whole(batches: list[list[float]]) -> None:
    moments, whole = Moments(1), np.concatenate([np.array(batch) for batch in batches])
    for batch in batches:
        moments.add(np.array(batch)[:, None])
    assert moments.n[0] == len(whole)
    np.testing.assert_allclose(moments.mean[0], whole.mean(), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(moments.sd[0], whole.std(ddof=1) if len(whole) > 1 else 0, rtol=1e-6, atol=1e-6)
    assert (moments.low[0], moments.high[0]) == (whole.min(), whole.max())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_bins_lose_nothing_however_wide_they_become(batches: list[list[float]]) -> None:
    bins, whole = Bins(8, columns=1), np.concatenate([np.array(batch) for batch in batches])
    for batch in batches:
        bins.add(np.array(batch), np.ones((len(batch), 1)))
    assert bins.counts.sum() == len(whole)
    np.testing.assert_array_equal(bins.sums[:, 0], bins.counts)
    at = (whole - bins.low) / bins.width
    assert (at > -1e-6).all()
    assert (at < 8 + 1e-6).all()
    inside = np.abs(at - at.round()) > 1e-6  # rounding decides at an edge
    assert (bins.counts >= np.bincount(at[inside].astype(int), minlength=8)).all()
    coarse_edges, counts = bins.coarse(3)
    assert counts.sum() == len(whole)
    assert len(counts) <= 3
    assert len(coarse_edges) == len(counts) + 1


class Scored(SlatePolicy):
    """Plackett-Luce by the topic's number."""

    served_by_draws = True

    def __init__(self, slope: float, forbidden: int | None = None) -> None:
        self.slate_size, self.slope, self.forbidden = 3, slope, forbidden

    def distribution(self, observation: Observation) -> SlateDistribution:
        doc = np.asarray(observation["doc"])
        scores = self.slope * doc.astype(float)
        if self.forbidden is not None:
            scores[doc == self.forbidden] = -1e9
        return PlackettLuceSlates(scores, 3)


def support(steps: Steps) -> Support:
    check = SupportCheck(3)
    for half in np.array_split(np.arange(len(steps)), 2):
        check.add(steps.take(half))
    return check.result()


@pytest.fixture(scope="module")
def uniform() -> Steps:
    return played(ENV, 60)


@pytest.fixture(scope="module")
def uneven() -> Steps:
    return played(ENV, 60, policy=Scored(0.1))


def logged(steps: Steps, log_propensity: np.ndarray | None) -> Steps:
    return dataclasses.replace(steps, log_propensity=log_propensity)


def test_support_of_a_uniform_log(uniform: Steps) -> None:
    found = support(uniform)
    assert found.kind == "full"
    assert found.slates == pytest.approx(720)
    assert found.effective == pytest.approx(720, rel=1e-4)
    assert found.smallest == pytest.approx(1 / 720, rel=1e-4)
    np.testing.assert_allclose(found.inverse, 1, atol=1e-5)


def test_what_is_no_probability_of_the_shown_slate_is_found(uneven: Steps) -> None:
    log_p = uneven.log_propensity
    assert log_p is not None
    assert support(uneven).kind == "full"
    assert 100 < support(uneven).effective < 720
    slate = np.repeat(log_p.sum(1, keepdims=True), 3, axis=1)
    assert support(logged(uneven, slate)).kind == "too small", "the slate's at every position"
    assert support(logged(uneven, log_p / np.log(2))).kind == "too small", "logarithms of base 2"
    assert support(logged(uneven, log_p / np.log(10))).kind == "partial", "logarithms of base 10"
    assert support(logged(uneven, np.exp(log_p))).kind == "invalid", "probabilities, no logarithms"
    assert support(logged(uneven, np.where(uneven.step[:, None] == 3, np.nan, log_p))).invalid == 60
    assert support(logged(uneven, 0 * log_p)).kind == "certain"
    assert support(logged(uneven, None)).kind == "none"


def test_support_that_is_partial() -> None:
    assert support(played(ENV, 60, policy=Scored(0.05, forbidden=3))).kind == "partial"


def test_a_description_counts_what_is_there(tmp_path: Path, uniform: Steps) -> None:
    writer = Writer(tmp_path / "log", ENV.spec, {"behaviour": "random"})
    halves = np.array_split(np.arange(60), 2)
    for half in halves:
        writer.write(uniform.episodes(half))
    about = describe(writer.finish())
    assert (about.episodes, about.steps, about.rows) == (60, len(uniform), len(uniform))
    assert about.ends == {"terminated": 60, "truncated": 0, "neither": 0}
    assert about.returns.mean == pytest.approx(uniform.returns().mean(), rel=1e-6)
    assert about.returns.error == pytest.approx(uniform.returns().std(ddof=1) / np.sqrt(60), rel=1e-6)
    assert about.lengths.high == uniform.lengths.max()
    assert about.rewards.mean == pytest.approx(uniform.reward.mean(), rel=1e-5)
    assert about.clicked == [int((uniform.clicked == position).sum()) for position in range(3)]
    shown = np.take_along_axis(uniform.doc, uniform.slate.astype(int), axis=1)
    assert about.items_shown == np.bincount(shown.reshape(-1), minlength=20).tolist()
    clicked = shown[np.arange(len(shown)), np.minimum(uniform.clicked, 2)][uniform.clicked < 3]
    assert about.items_clicked == np.bincount(clicked, minlength=20).tolist()
    assert sum(about.reward_histogram.counts) == len(uniform)
    assert sum(about.length_histogram.counts) == 60
    assert sum(about.drift.episodes) == 60
    per_step = (uniform.returns() / uniform.lengths).reshape(10, 6).mean(1)
    np.testing.assert_allclose(about.drift.means["reward"], per_step, rtol=0.05)


def test_a_log_that_drifts_by_time(tmp_path: Path, uniform: Steps) -> None:
    order = np.random.default_rng(0).permutation(60)
    time = 1_700_000_000_000 + 1000 * order[uniform.episode] + uniform.step
    reward = np.where(order[uniform.episode] >= 30, uniform.reward + 1, uniform.reward).astype(np.float32)
    writer = Writer(tmp_path / "log", ENV.spec, {})
    writer.write(dataclasses.replace(uniform, time=time, reward=reward))
    about = describe(writer.finish())
    assert about.drift.order == "time"
    assert about.drift.deviations["reward"] > 3
    assert any("drifts" in use for use in uses(about))
    writer = Writer(tmp_path / "shuffled", ENV.spec, {})
    writer.write(dataclasses.replace(uniform, reward=reward))
    assert abs(describe(writer.finish()).drift.deviations["reward"]) < 3, "the episodes' order says nothing"


def test_the_command_prints_one_screen(
    tmp_path: Path, uneven: Steps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    certain = logged(uneven, np.zeros_like(uneven.reward[:, None].repeat(3, 1)))
    for name, steps in {"spread": uneven, "certain": certain}.items():
        writer = Writer(tmp_path / "data" / name, ENV.spec, {"behaviour": "scored", "explore": "none"})
        writer.write(steps)
        writer.finish()
    assert main(["describe", "data=spread", "output=out/spread.json"]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 24
    assert "judges any policy" in printed
    assert json.loads(Path("out/spread.json").read_text())["support"]["kind"] == "full"
    assert Path("out/spread.svg").read_text().startswith("<?xml")
    assert main(["describe", "data=certain"]) == 0
    assert "NOTHING about other policies can be judged" in capsys.readouterr().out
    assert Path("data/certain/describe.svg").is_file()
    assert main(["describe", "data=spraed"]) == 2
    assert "Did you mean 'spread'?" in capsys.readouterr().err


def test_an_empty_log_is_described(tmp_path: Path) -> None:
    dataset: Dataset = Writer(tmp_path / "log", ENV.spec, {}).finish()
    assert "0 episodes" in lines(describe(dataset), "log")[0]
