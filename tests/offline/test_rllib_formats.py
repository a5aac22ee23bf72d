"""RLlib's formats: what we write RLlib reads, what RLlib writes we read, and nothing but arrays is unpickled."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import gymnasium as gym
import lz4.frame
import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logs import played
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.offline.json_writer import _to_json
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer
from test_dataset import assert_equal

from recsys_cli.cli import main
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.rllib_formats import read_episodes, read_json_batches, write_episodes
from recsys_cli.offline.rllib_formats.episodes import _decode, _encode
from recsys_cli.offline.steps import Steps, concatenate
from recsys_cli.offline.writer import Writer

ENVS = {
    "numbers, terminated": load("env", "interest_evolution", slate_size=3),
    "dense, truncated": load("env", "interest_exploration", horizon=6),
    "varying": load("env", "interest_evolution", num_candidates=[2, 6], slate_size=3),
}


@pytest.mark.parametrize("case", ENVS)
def test_episodes_come_back_as_they_went(case: str, tmp_path: Path) -> None:
    spec = ENVS[case].spec
    steps = played(ENVS[case], 7)
    assert write_episodes(iter([steps.episodes(slice(4)), steps.episodes(slice(4, 7))]), spec, tmp_path) == 7
    again = concatenate(list(read_episodes(sorted(tmp_path.glob("*")), spec)))
    assert_equal(_plain(steps), _plain(again))


def _plain(steps: Steps) -> Steps:
    """Return the rows with the dtypes that a data set would give them."""
    response = {name: values.astype(np.float32) for name, values in steps.response.items()}
    return dataclasses.replace(steps, response=response, doc=np.where(_there(steps), steps.doc, 0))


def _there(steps: Steps) -> Any:
    if steps.mask is None:
        return True
    return steps.mask if steps.doc.ndim == 2 else steps.mask[..., None]


def test_rllib_reads_what_is_written(tmp_path: Path) -> None:
    env = ENVS["numbers, terminated"]
    steps = played(env, 5)
    write_episodes(iter([steps]), env.spec, tmp_path)
    (file,) = tmp_path.glob("*.parquet")
    items = pq.read_table(file).column("item").to_pylist()
    episodes = [SingleAgentEpisode.from_state(msgpack.unpackb(item, object_hook=_decode)) for item in items]
    assert [episode.get_return() for episode in episodes] == pytest.approx(steps.returns())
    assert [len(episode) for episode in episodes] == steps.lengths.tolist()
    assert all(episode.is_done for episode in episodes)
    assert env.spec.observation_space().contains(episodes[0].get_observations(0))
    buffer = EpisodeReplayBuffer(capacity=10_000)
    buffer.add(episodes)
    sampled = buffer.sample(num_items=20, sample_episodes=True, to_numpy=True, n_step=1)
    assert sum(len(episode) for episode in sampled) >= 20


def test_what_rllib_writes_is_read(tmp_path: Path) -> None:
    env = ENVS["dense, truncated"]
    steps = played(env, 1)
    episode = SingleAgentEpisode()
    nothing = {name: space.sample() * 0 for name, space in env.spec.response_space().items()}
    response = {"click": steps.clicks(), **steps.response}
    episode.add_env_reset({"user": steps.user[0], "doc": steps.doc[0], "response": nothing})
    for t in range(6):
        after = {name: values[t] for name, values in response.items()}
        observation = {"user": steps.user[t + 1], "doc": steps.doc[t + 1], "response": after}
        episode.add_env_step(observation, steps.slate[t], float(steps.reward[t]), truncated=t == 5)
    for rows in (episode, episode.to_numpy()):
        state = rows.get_state()
        state["infos"]["data"] = None  # objects, which msgpack-numpy pickles
        table = {"item": [msgpack.packb(state, default=_encode)]}
        pq.write_table(pa.table(table), tmp_path / "episodes.parquet")
        (again,) = read_episodes([tmp_path / "episodes.parquet"], env.spec)
        assert again.log_propensity is None
        for name in ("user", "doc", "slate", "reward", "clicked", "truncated", "terminated", "valid"):
            np.testing.assert_array_equal(getattr(again, name), getattr(steps, name), err_msg=name)


def sample_batches(steps: Steps, spec: ProblemSpec, cuts: list[int], **changes: Any) -> list[SampleBatch]:
    """Return rows as RLlib's old stack collected them, observations flattened as its preprocessor did."""
    fields = {each.name: each for each in spec.response}
    kinds = {"flag": lambda f: gym.spaces.Discrete(2), "category": lambda f: gym.spaces.Discrete(int(f.high))}
    number = lambda f: gym.spaces.Box(-1e9, 1e9, ())  # noqa: E731
    position = gym.spaces.Dict({name: kinds.get(field.kind, number)(field) for name, field in fields.items()})
    document = gym.spaces.Box(-1e9, 1e9, (len(spec.documents),))
    space = gym.spaces.Dict(
        OrderedDict(
            user=gym.spaces.Box(-1e9, 1e9, (len(spec.user),)),
            doc=gym.spaces.Dict(OrderedDict((str(i), document) for i in range(spec.width))),
            response=gym.spaces.Tuple([position] * spec.slate_size),
        )
    )
    response = {"click": steps.clicks(), **steps.response}

    def observation(row: int, responded: int | None) -> np.ndarray:
        doc = spec.documents.dense(steps.doc[row]).astype(np.float32)
        values = [
            {
                name: response[name][responded][j] if responded is not None else response[name][0][j] * 0
                for name in fields
            }
            for j in range(spec.slate_size)
        ]
        parts = {"user": steps.user[row], "doc": {str(i): each for i, each in enumerate(doc)}, "response": values}
        return gym.spaces.flatten(space, parts)

    rows = np.flatnonzero(steps.valid)
    after = [row + 1 if not steps.terminated[row] else row for row in rows]
    obs = np.stack([observation(row, row - 1 if steps.step[row] else None) for row in rows])
    columns = {
        "obs": obs,
        "new_obs": np.stack([observation(following, row) for following, row in zip(after, rows, strict=True)]),
        "actions": steps.slate[rows].astype(np.int64),
        "rewards": steps.reward[rows],
        "dones": steps.terminated[rows],
        "eps_id": 1_000 + steps.episode[rows],
        "t": steps.step[rows],
        **changes,
    }
    pieces = np.split(np.arange(len(rows)), cuts)
    return [SampleBatch({name: values[piece] for name, values in columns.items()}) for piece in pieces]


@pytest.mark.parametrize("compressed", [["obs", "new_obs"], []])
@pytest.mark.parametrize("case", ["numbers, terminated", "dense, truncated"])
def test_sample_batches_in_json(case: str, compressed: list[str], tmp_path: Path) -> None:
    spec = ENVS[case].spec
    steps = played(ENVS[case], 4)
    batches = sample_batches(steps, spec, cuts=[5, 11])
    (tmp_path / "output-worker-0_0.json").write_text("\n".join(_to_json(batch, compressed) for batch in batches))
    again = concatenate(list(read_json_batches([tmp_path / "output-worker-0_0.json"], spec)))
    for name in ("episode", "step", "user", "doc", "slate", "clicked", "reward", "terminated", "truncated", "valid"):
        np.testing.assert_array_equal(getattr(again, name), getattr(steps, name), err_msg=name)
    for name, values in steps.response.items():
        np.testing.assert_allclose(again.response[name], values, rtol=1e-6, err_msg=name)
    assert again.log_propensity is None


def test_what_is_wrong_with_json_is_said(tmp_path: Path) -> None:
    env = ENVS["numbers, terminated"]
    (batch,) = sample_batches(played(env, 1), env.spec, cuts=[])
    good, file = json.loads(_to_json(batch, [])), tmp_path / "log.json"

    def refused(**changes: Any) -> str:
        file.write_text(json.dumps({**good, **changes}))
        with pytest.raises(ConfigError) as caught:
            list(read_json_batches([file], env.spec))
        return str(caught.value)

    assert "line 1" in refused(obs=[[1.0, 2.0]])
    assert "no slates of 3" in refused(actions=[0] * len(batch))
    assert "outside candidates 0..9" in refused(actions=[[1, 2, 99]] * len(batch))
    packed = base64.b64encode(lz4.frame.compress(pickle.dumps(Path("x")))).decode()
    assert "is no array" in refused(obs=packed)
    file.write_text("{")
    with pytest.raises(ConfigError, match="line 1 is no batch"):
        list(read_json_batches([file], env.spec))


def test_the_command_exports_what_rllib_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    env = ENVS["dense, truncated"]
    writer = Writer(tmp_path / "data" / "log", env.spec, {})
    writer.write(played(env, 3))
    writer.finish()
    assert main(["export", "data=log", "output=episodes"]) == 0
    assert "3 episodes" in capsys.readouterr().out
    assert main(["export", "data=log", "output=episodes"]) == 2
    assert "output=episodes is there" in capsys.readouterr().err
    words = ["import", "format=rllib_episodes", "data=episodes/*", "name=back"]
    assert main(words) == 2
    assert "env is required with format=rllib_episodes" in capsys.readouterr().err
    assert main([*words, "env=interest_exploration", "env.horizon=6"]) == 0
    assert_equal(_plain(Dataset.open(tmp_path / "data" / "back").load()), _plain(played(env, 3)))
    assert main([*words, "env=interest_exploration"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["import", "format=rllib_json", "data=episodes/*", "name=no", "env=interest_exploration"]) == 2
    assert "is no batch of RLlib's" in capsys.readouterr().err
    assert not Path("data/no").exists()
