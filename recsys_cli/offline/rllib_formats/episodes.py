"""RLlib's episodes: a Parquet file whose column `item` holds the msgpack of `SingleAgentEpisode` states.

RLlib reads them with `config.offline_data(input_=<folder>, input_read_episodes=True)`, for which it needs the package
msgpack-numpy. Observations are those of our envs with dense documents: `user`, `doc`, `response` and, if the number of
candidates varies, `mask`. Arrays are encoded as msgpack-numpy does; nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.files import replacing
from recsys_cli.offline.rllib_formats.rows import Observation, check_slates, episode_steps, gathered
from recsys_cli.offline.steps import Steps

ITEM = "item"
LOGP, POSITIONS = "action_logp", "position_logp"  # extra outputs: of a slate, by RLlib's name; of its positions


def write_episodes(parts: Iterator[Steps], spec: ProblemSpec, folder: Path) -> int:
    """Write whole episodes, one Parquet file a part, and return how many there were.

    The log has no observation after a termination; the last one is repeated there, with the last response.

    Args:
        parts: as `Dataset.batches` yields them.
        spec: of the problem.
        folder: made if missing.
    """
    import msgpack
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = 0
    for number, steps in enumerate(parts):
        items = [msgpack.packb(_state(steps, row, spec), default=_encode) for row in range(len(steps.starts))]
        with replacing(folder / f"episodes-{number:05d}.parquet") as temporary:
            table = pa.table({ITEM: pa.array(items, pa.large_binary())})
            pq.write_table(table, temporary, compression="zstd", use_dictionary=False)
        written += len(items)
    return written


def _state(steps: Steps, number: int, spec: ProblemSpec) -> dict[str, Any]:
    """Return one episode as `SingleAgentEpisode.get_state` does."""
    start = int(steps.starts[number])
    rows = np.arange(start, start + int(steps.lengths[number]))
    acted = rows[steps.valid[rows]]
    observed = rows if len(rows) > len(acted) else np.append(rows, rows[-1])
    count = len(acted)
    clicks = {"click": steps.clicks(), **steps.response}
    response = {
        name: np.concatenate([np.zeros((1, spec.slate_size)), clicks[name][acted]]).astype(space.dtype)
        for name, space in spec.response_space().items()
    }
    doc = np.asarray(spec.documents.dense(steps.doc[observed]), np.float32)
    observations: Observation = {"user": steps.user[observed], "doc": doc, "response": response}
    if spec.varying:
        there = np.ones(doc.shape[:2], bool) if steps.mask is None else steps.mask[observed]
        observations["doc"] = np.where(there[..., None], doc, 0)
        observations["mask"] = there.astype(np.int8)
    extra = None
    if steps.log_propensity is not None:
        log_p = steps.log_propensity[acted]
        extra = {LOGP: _buffer(list(log_p.sum(1))), POSITIONS: _buffer(list(log_p))}
    ended = bool(steps.terminated[acted[-1]]) if count else False
    first = int(steps.step[start])
    return {
        **dict.fromkeys(("agent_id", "module_id", "multi_agent_episode_id", "_observation_space", "_action_space")),
        "id_": str(int(steps.episode[start])),
        "observations": _buffer([_row(observations, t) for t in range(count + 1)]),
        "actions": _buffer(list(steps.slate[acted].astype(np.int64))),
        "rewards": _buffer(steps.reward[acted].astype(float).tolist()),
        "infos": _buffer([{} for _ in range(count + 1)]),
        "extra_model_outputs": extra,
        "is_terminated": ended,
        "is_truncated": not ended,
        "t_started": first,
        "t": first + count,
        "_start_time": None,
        "_last_step_time": None,
        "custom_data": {},
    }


def _row(nested: Mapping[str, Any], at: int) -> dict[str, Any]:
    return {name: _row(value, at) if isinstance(value, Mapping) else value[at] for name, value in nested.items()}


def _buffer(data: list[Any]) -> dict[str, Any]:
    return {"data": data, "lookback": 0, "finalized": False, "space": None}


def _encode(value: Any) -> Any:
    """Return an array or a number of NumPy's as msgpack-numpy encodes it."""
    if isinstance(value, np.ndarray):
        return {b"nd": True, b"type": value.dtype.str, b"kind": b"", b"shape": value.shape, b"data": value.tobytes()}
    if isinstance(value, np.generic):
        return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}
    raise TypeError(f"{type(value).__name__} cannot be written")


def _decode(value: dict[Any, Any]) -> Any:
    if b"nd" not in value:
        return value
    dtype = np.dtype(value[b"type"])
    if value.get(b"kind") == b"O" or dtype.hasobject:
        return None  # pickled objects, such as infos
    array = np.frombuffer(value[b"data"], dtype)
    return array.reshape(value[b"shape"]) if value[b"nd"] else array[0]


def read_episodes(files: Sequence[Path], spec: ProblemSpec) -> Iterator[Steps]:
    """Yield RLlib's episodes in Parquet files, in parts of many rows.

    Args:
        files: to be read.
        spec: of the problem that was played.

    Raises:
        ConfigError: something else is in the files.
    """
    return gathered(_episodes(files, spec))


def _episodes(files: Sequence[Path], spec: ProblemSpec) -> Iterator[Steps]:
    import msgpack
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=64, columns=[ITEM]):
                    for item in batch.column(0):
                        state = msgpack.unpackb(item.as_py(), object_hook=_decode, strict_map_key=False)
                        yield _read(state, number, spec, f"{file}, episode {number}")
                        number += 1
        except ConfigError:
            raise
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{file}, episode {number}: no episode of RLlib's: {one_line(error)}") from None


def _read(state: Mapping[str, Any], number: int, spec: ProblemSpec, where: str) -> Steps:
    observations = _values(state["observations"])
    missing = {"user", "doc", "response"} - set(observations)
    if missing:
        raise ConfigError(f"{where}: observations have no {', '.join(sorted(missing))}")
    slates = check_slates(_values(state["actions"]), spec, where)
    extra = state.get("extra_model_outputs") or {}
    log_propensity: NDArray[Any] | None = None
    if POSITIONS in extra:
        log_propensity = _values(extra[POSITIONS])
    elif LOGP in extra and spec.slate_size == 1:
        log_propensity = _values(extra[LOGP])[:, None]
    return episode_steps(
        spec,
        number,
        observations,
        slates,
        np.asarray(_values(state["rewards"]), np.float32),
        terminated=bool(state["is_terminated"]),
        first_step=int(state["t_started"]),
        log_propensity=log_propensity,
    )


def _values(buffer: Mapping[str, Any]) -> Any:
    """Return a buffer's values in the episode itself, without what it looks back on, stacked."""
    data, back = buffer["data"], int(buffer["lookback"])
    if buffer["finalized"]:
        return _cut(data, back)
    return _stacked(data[back:])


def _cut(data: Any, back: int) -> Any:
    return {name: _cut(value, back) for name, value in data.items()} if isinstance(data, Mapping) else data[back:]


def _stacked(rows: list[Any]) -> Any:
    if isinstance(rows[0], Mapping):
        return {name: _stacked([row[name] for row in rows]) for name in rows[0]}
    return np.stack(rows)
