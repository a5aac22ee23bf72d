"""RLlib's JSON of sample batches, written by its old API stack; the offline half of the 2022 tutorial read it.

A line is a batch of steps. Its observations are flattened in the order of RLlib's RecSim wrapper: the user, the
documents, then for each position the response's fields by name, categories and flags one-hot; or they are nested.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.rllib_formats.rows import Observation, check_slates, episode_steps, gathered
from recsys_cli.offline.steps import Steps


def read_json_batches(files: Sequence[Path], spec: ProblemSpec) -> Iterator[Steps]:
    """Yield the episodes in JSON files of sample batches, in parts of many rows.

    An episode may be spread over lines. One that does not end in its file was cut off there and keeps its last
    observation. Propensities are not read: RLlib's exploration logged 0 for random slates too.

    Args:
        files: to be read.
        spec: of the problem that was played.

    Raises:
        ConfigError: something else is in the files.
    """
    number = count()

    def episodes() -> Iterator[Steps]:
        for file in files:
            for columns, terminated in _episodes_of(file, spec):
                observations = _with_following(columns["obs"], columns["new_obs"])
                slates = check_slates(columns["actions"], spec, str(file))
                rewards = np.asarray(columns["rewards"], np.float32)
                yield episode_steps(spec, next(number), observations, slates, rewards, terminated=terminated)

    return gathered(episodes())


def _episodes_of(file: Path, spec: ProblemSpec) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the columns of each episode, and whether it ended."""
    unfinished: dict[Any, list[dict[str, Any]]] = {}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for at, line in enumerate(lines, 1):
            if not line.strip():
                continue
            columns = _batch(line, spec, f"{file}, line {at}")
            ended, ids = columns.pop("ended"), columns.pop("ids")
            cuts = np.flatnonzero((ids[1:] != ids[:-1]) | ended[:-1]) + 1
            for rows in np.split(np.arange(len(ended)), cuts):
                pieces = unfinished.setdefault(ids[rows[0]], [])
                pieces.append(_each(columns, lambda values, rows=rows: values[rows]))
                if ended[rows[-1]]:
                    yield _joined(unfinished.pop(ids[rows[0]])), True
    for pieces in unfinished.values():
        yield _joined(pieces), False


def _batch(line: str, spec: ProblemSpec, where: str) -> dict[str, Any]:
    """Return the columns of a line: obs, new_obs, actions, rewards, ended and ids.

    Raises:
        ConfigError: it holds no batch of this problem.
    """
    try:
        batch = json.loads(line)
        if batch.get("type") == "MultiAgentBatch":
            (batch,) = batch["policy_batches"].values()
        batch = {name: _unpacked(v) if isinstance(v, str) and name != "type" else v for name, v in batch.items()}
        missing = [name for name in ("obs", "new_obs", "actions", "rewards") if name not in batch]
        if missing:
            raise ConfigError(f"{where}: the batch has no {', '.join(missing)}; it has {', '.join(batch)}")
        ended = np.asarray(batch.get("terminateds", batch.get("dones")), bool)
        n = len(ended)
        ids = np.asarray(batch["eps_id"]) if "eps_id" in batch else np.zeros(n, np.int64)
        observed = {name: _observed(batch[name], spec, where) for name in ("obs", "new_obs")}
        rest = {name: np.asarray(batch[name]) for name in ("actions", "rewards")}
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{where} is no batch of RLlib's: {type(error).__name__}: {one_line(error)}") from None
    return {**observed, **rest, "ended": ended, "ids": ids}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and refuses everything else, for a pickle may run any code."""

    ALLOWED: ClassVar[set[tuple[str, str]]] = {
        *(("numpy", name) for name in ("ndarray", "dtype")),
        *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class or function."""
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return super().find_class(module, name)


def _unpacked(text: str) -> Any:
    """Return a compressed column: base64 of lz4 of a pickled array."""
    import lz4.frame

    return _ArraysOnly(io.BytesIO(lz4.frame.decompress(base64.b64decode(text)))).load()


def _observed(obs: Any, spec: ProblemSpec, where: str) -> Observation:
    """Return `user`, `doc` and `response` of observations, flattened or nested."""
    if isinstance(obs, Mapping):
        docs = obs["doc"]
        order = sorted(docs, key=int) if isinstance(docs, Mapping) else ()
        doc = np.stack([np.asarray(docs[name], np.float32) for name in order], axis=1) if order else np.asarray(docs)
        fields = {
            each.name: [np.asarray(position[each.name]) for position in obs["response"]] for each in spec.response
        }
        response = {name: np.stack([v.reshape(len(v)) for v in values], axis=1) for name, values in fields.items()}
        return {"user": np.asarray(obs["user"], np.float32), "doc": doc, "response": response}
    flat = np.asarray(obs, np.float32)
    fields_of = sorted(spec.response, key=lambda each: each.name)
    widths = [int(each.high) if each.kind == "category" else 1 + (each.kind == "flag") for each in fields_of]
    users, documents, k = len(spec.user), spec.width * len(spec.documents), spec.slate_size
    expected = users + documents + k * sum(widths)
    if flat.ndim != 2 or flat.shape[1] != expected:
        raise ConfigError(
            f"{where}: observations {list(flat.shape)} must have {expected} numbers: {users} of the user, {documents} "
            f"of {spec.width} documents, {k * sum(widths)} of the response to {k} positions"
        )
    user, doc, rest = np.split(flat, [users, users + documents], axis=1)
    by_field = np.split(rest.reshape(len(flat), k, -1), np.cumsum(widths)[:-1], axis=2)
    response = {
        each.name: values[..., 0] if each.kind == "number" else values.argmax(-1)
        for each, values in zip(fields_of, by_field, strict=True)
    }
    return {"user": user, "doc": doc.reshape(len(flat), spec.width, -1), "response": response}


def _with_following(obs: Observation, following: Observation) -> Observation:
    """Return observations `[T + 1, ...]` of those before each of T steps and those after."""
    return _merged(obs, following, lambda before, after: np.concatenate([before, after[-1:]]))


def _each(columns: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Return nested arrays, changed."""
    return {name: _each(v, change) if isinstance(v, Mapping) else change(v) for name, v in columns.items()}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any], join: Any) -> dict[str, Any]:
    """Return two nests of arrays, joined array by array."""
    return {
        name: _merged(value, other[name], join) if isinstance(value, Mapping) else join(value, other[name])
        for name, value in one.items()
    }


def _joined(pieces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    joined = pieces[0]
    for piece in pieces[1:]:
        joined = _merged(joined, piece, lambda before, after: np.concatenate([before, after]))
    return joined
