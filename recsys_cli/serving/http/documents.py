"""The candidates of the requests of one body: ids, features, and how unequal numbers of them are padded."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import Candidate, Packed, RankRequest

Floats = NDArray[np.float32]


class Layout:
    """Which candidate of which request a row of all candidates `[M, F]` is."""

    def __init__(self, many: bool) -> None:
        """Note whether paths name the request."""
        self.many = many
        self.sizes = list[int]()

    def path(self, request: int) -> str:
        """Return how a path into a request begins."""
        return f"requests[{request}]." if self.many else ""

    def feature_path(self, row: int, column: int) -> str:
        """Return the path of a feature."""
        ends = np.cumsum(self.sizes)
        request = int(np.searchsorted(ends, row, side="right"))
        candidate = row - int(ends[request] - self.sizes[request])
        return f"{self.path(request)}candidates[{candidate}].features[{column}]"

    def check_padding(self, size: int, most_bytes: int) -> None:
        """Refuse a body whose requests are so unequal that padding them all to the widest would fill the memory."""
        if 4 * size * len(self.sizes) * max(self.sizes) > most_bytes:
            raise Refused(422, "requests: too unequal in size to be answered together; send them in several bodies")

    def padded(self, rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return rows `[M, F]` as `[N, C, F]`, and which of these there are, `[N, C]`."""
        n, width = len(self.sizes), max(self.sizes)
        if n * width == len(rows):
            return rows.reshape(n, width, -1), np.ones((n, width), np.bool_)
        mask: NDArray[np.bool_] = np.arange(width) < np.array(self.sizes)[:, None]
        doc = np.zeros((n, width, rows.shape[1]), np.float32)
        doc[mask] = rows
        return doc, mask


def candidate_ids(requests: Sequence[RankRequest], layout: Layout, most: int) -> list[list[str]]:
    """Return each request's ids, and let the layout know how many there are.

    Raises:
        Refused: too many or none, repeated, or not printable.
    """
    ids = []
    for i, request in enumerate(requests):
        given = request.candidates
        names = given.ids if isinstance(given, Packed) else [candidate.id for candidate in given]
        if not 1 <= len(names) <= most:
            raise Refused(422, f"{layout.path(i)}candidates: must be 1 to {most:,}")
        if len(set(names)) < len(names):
            last = {name: j for j, name in enumerate(names)}
            again = next(j for j, name in enumerate(names) if last[name] != j)
            raise Refused(422, f"{_id_path(layout.path(i), given, last[names[again]])}: must differ from the others")
        if not _printable(names):
            wrong = next(j for j, name in enumerate(names) if not _printable([name]))
            raise Refused(422, f"{_id_path(layout.path(i), given, wrong)}: must be printable ASCII")
        ids.append(names)
    layout.sizes = [len(names) for names in ids]
    return ids


def candidate_rows(requests: Sequence[RankRequest], layout: Layout, size: int) -> Floats:
    """Return the features of all candidates, `[M, F]`.

    Raises:
        Refused: another number of features.
    """
    parts = list[Floats]()
    lists = list[list[float]]()
    packed = any(isinstance(request.candidates, Packed) for request in requests)
    for i, request in enumerate(requests):
        given = request.candidates
        if isinstance(given, Packed):
            parts.append(_unpacked(given, size, layout.path(i)))
            continue
        rows = [candidate.features for candidate in given]
        if set(map(len, rows)) != {size}:
            wrong = next(j for j, row in enumerate(rows) if len(row) != size)
            raise Refused(422, f"{layout.path(i)}candidates[{wrong}].features: must be {size} numbers")
        if packed:
            parts.append(from_lists(rows, size))
        else:
            lists += rows
    return np.concatenate(parts) if packed else from_lists(lists, size)


def from_lists(rows: Sequence[Sequence[float]], size: int) -> Floats:
    """Return lists of `size` numbers as an array `[M, size]`: a third faster than `np.array`."""
    return np.fromiter(chain.from_iterable(rows), np.float32, size * len(rows)).reshape(len(rows), size)


def _unpacked(given: Packed, size: int, path: str) -> Floats:
    expected = 4 * size * len(given.ids)
    try:
        raw = binascii.a2b_base64(given.features_b64, strict_mode=True)
    except ValueError:
        raise Refused(422, f"{path}candidates.features_b64: must be base64") from None
    if len(raw) != expected:
        raise Refused(
            422,
            f"{path}candidates.features_b64: must hold {len(given.ids):,} x {size} little-endian float32, "
            f"{expected:,} bytes",
        )
    return np.frombuffer(raw, "<f4").reshape(len(given.ids), size)


def _printable(names: Sequence[str]) -> bool:
    """Whether names are printable ASCII, without spaces at either end."""
    text = "".join(names)
    if not (text.isascii() and text.isprintable()):
        return False
    return " " not in text or all(name == name.strip() for name in names)


def _id_path(path: str, given: list[Candidate] | Packed, i: int) -> str:
    return f"{path}candidates.ids[{i}]" if isinstance(given, Packed) else f"{path}candidates[{i}].id"
