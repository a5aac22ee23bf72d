"""Logged steps: what is written is read, memories are recomputed as they were, damage is found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from logs import played

from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.offline.dataset import Dataset, find
from recsys_cli.offline.steps import Steps, concatenate, fold_of
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.memory import new_memory

ENVS = catalog.option_names("env")


def assert_equal(one: Steps, other: Steps) -> None:
    for field in dataclasses.fields(Steps):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, dict):
            assert left.keys() == right.keys()
            for name in left:
                np.testing.assert_array_equal(left[name], right[name], err_msg=name)
        else:
            np.testing.assert_array_equal(left, right, err_msg=field.name)


def written(folder: Path, env, *parts: Steps) -> Dataset:
    writer = Writer(folder, env.spec, {"behaviour": "random"})
    for part in parts:
        writer.write(part)
    return writer.finish()


@pytest.mark.parametrize("name", ENVS)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    env = load("env", name)
    log = played(env, 40)
    first, second = log.episodes(slice(25)), log.episodes(slice(25, None))
    dataset = written(tmp_path / "log", env, first, second)
    assert (dataset.rows, dataset.steps, dataset.episodes) == (len(log), log.num_steps, 40)
    assert dataset.spec == env.spec
    assert_equal(dataset.load(), log)
    batches = list(dataset.batches(rows=100))
    assert len(batches) > 5
    assert_equal(concatenate(batches), log)
    assert all(len(np.unique(batch.episode)) == len(batch.starts) for batch in batches)
    assert sum(len(batch.starts) for batch in batches) == 40  # no episode in two batches
    dataset.verify()


class Remembering(UniformPolicy):
    def __init__(self, env, kind) -> None:
        super().__init__(env.slate_size)
        self.env, self.kind = env, kind

    def new_memory(self, users):
        return new_memory(self.kind, self.env.spec, users)


@pytest.mark.parametrize("kind", ["raw", "documents"])
@pytest.mark.parametrize("name", ENVS)
def test_a_memory_is_recomputed_as_it_was(name: str, kind: str) -> None:
    env = load("env", name)
    policy = Remembering(env, kind)
    log = played(env, 30, policy=policy)
    again = dataclasses.replace(log, memory=None).remembering(policy.new_memory)
    np.testing.assert_array_equal(again.memory, log.memory)
    assert log.remembering(UniformPolicy(env.slate_size).new_memory).memory is None


def test_transitions_end_with_terminations_and_bootstrap_truncations() -> None:
    env = load("env", "interest_exploration")
    log = played(env, 8)
    assert log.truncated.any()
    columns = log.transitions(0.9)
    steps = np.flatnonzero(log.valid)
    assert len(columns["reward"]) == log.num_steps  # the extra rows are no steps, but every step has what follows
    np.testing.assert_array_equal(columns["bootstrap"], np.where(log.terminated[steps], 0, np.float32(0.9)))
    np.testing.assert_array_equal(columns["next_user"], log.user[np.where(log.terminated[steps], steps, steps + 1)])
    gap = dataclasses.replace(log, step=log.step + (log.step > 3))
    assert len(gap.transitions()["reward"]) == log.num_steps - 8  # a missing row: nothing follows
    cut = log.take(log.valid)
    assert len(cut.transitions()["reward"]) == log.num_steps - int(log.truncated.sum())


def test_episodes_are_cut_out_whole() -> None:
    log = played(load("env", "interest_evolution"), 6)
    some = log.episodes([4, 1])
    np.testing.assert_array_equal(np.unique(some.episode), [1, 4])
    np.testing.assert_allclose(some.returns(), log.returns()[[4, 1]])
    assert some.episode[0] == 4


def test_folds_are_even_and_always_the_same() -> None:
    folds = fold_of(np.arange(10_000), 5)
    assert np.bincount(folds).min() > 1_850
    assert folds[:8].tolist() == fold_of(np.arange(8), 5).tolist()
    assert (fold_of(np.arange(10_000), 5, seed=1) == folds).mean() < 0.25


def test_a_killed_writer_is_continued_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    log = played(env, 6)
    folder = tmp_path / "log"
    Writer(folder, env.spec, {"seed": 1}).write(log.episodes(slice(3)))
    with pytest.raises(ConfigError, match="is incomplete"):
        Dataset.open(folder)
    with pytest.raises(ConfigError, match="was begun with another seed"):
        Writer(folder, env.spec, {"seed": 2})
    writer = Writer(folder, env.spec, {"seed": 1})
    assert writer.episodes == 3
    writer.write(log.episodes(slice(3, None)))
    assert_equal(writer.finish().load(), log)
    with pytest.raises(ConfigError, match="is complete"):
        Writer(folder, env.spec, {"seed": 1})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "part-00000.parquet").unlink(), "part-00000.parquet is missing"),
        (lambda folder: (folder / "part-00000.parquet").write_bytes(b"PAR1"), "not of"),
        (lambda folder: (folder / "dataset.yaml").write_text("- a"), "format"),
        (lambda folder: (folder / "dataset.yaml").write_text("{"), "damaged"),
        (lambda folder: edit(folder, spec={"name": "x"}), "damaged"),
        (lambda folder: edit(folder, parts=[{"file": "x"}]), "damaged"),
        (lambda folder: edit(folder, format=9), "format 9"),
    ],
)
def test_damage_is_one_line(damage, says: str, tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    folder = tmp_path / "log"
    written(folder, env, played(env, 2))
    damage(folder)
    with pytest.raises(ConfigError, match=says):
        Dataset.open(folder)


def test_a_changed_part_is_found(tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    dataset = written(tmp_path / "log", env, played(env, 3))
    part = dataset.folder / dataset.parts[0].file
    content = bytearray(part.read_bytes())
    content[200] ^= 1
    part.write_bytes(content)
    with pytest.raises(ConfigError, match="not what was written"):
        dataset.verify()


def edit(folder: Path, **changes) -> None:
    values = yaml.safe_load((folder / "dataset.yaml").read_text())
    (folder / "dataset.yaml").write_text(yaml.safe_dump(values | changes))


def test_a_data_set_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    env = load("env", "interest_evolution")
    written(tmp_path / "random_log", env, played(env, 1))
    assert find("random_log", str(tmp_path)) == tmp_path / "random_log"
    assert find(str(tmp_path / "random_log")) == tmp_path / "random_log"
    with pytest.raises(ConfigError, match=r"data=randon_log is no data set.*Did you mean 'random_log'"):
        find("randon_log", str(tmp_path))
