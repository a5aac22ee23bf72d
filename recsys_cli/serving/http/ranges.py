"""What the numbers of a request may be: the ranges of the problem's features and of the user's response."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.ranges import HUGE
from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import ProblemSpec, ResponseField
from recsys_cli.serving.errors import Refused

Floats = NDArray[np.float32]
TOLERANCE = 1e-5  # relative to the bound, or to 1: clients round too

Path = Callable[[int, int], str]


class FeatureRange:
    """Checks rows of features against the problem's bounds."""

    def __init__(self, features: Features, topics: int = 0) -> None:
        """Take the bounds; the first `topics` features are a one-hot topic."""
        low, high = (bound.clip(-HUGE, HUGE) for bound in features.bounds)
        low[:topics], high[:topics] = 0.0, 1.0
        self._low, self._high = low.astype(np.float32), high.astype(np.float32)
        self._slack = (TOLERANCE * np.maximum(1.0, np.maximum(abs(low), abs(high)))).astype(np.float32)
        self._topics, self._one_hot = topics, np.eye(topics, dtype=np.float32)

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self._low)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The lowest and the highest value of each feature."""
        return list(zip(self._low.tolist(), self._high.tolist(), strict=True))

    def settle(self, rows: Floats, path: Path) -> Floats:
        """Return rows `[M, F]` within the bounds: what is beyond by no more than a rounding is put on them.

        Args:
            rows: to be checked.
            path: of the feature in a row and a column.

        Raises:
            Refused: a number that is out of range or none, or a topic that is not one-hot.
        """
        settled: Floats = np.fmin(np.fmax(rows, self._low), self._high)  # a bound in place of NaN
        if settled.tobytes() != rows.tobytes():
            within = np.abs(rows - settled) <= self._slack
            if not within.all():
                row, column = (int(i) for i in np.argwhere(~within)[0])
                low, high = float(self._low[column]), float(self._high[column])
                raise Refused(422, f"{path(row, column)}: must be from {low:.7g} to {high:.7g}")
        if self._topics:
            self._check_topics(settled[:, : self._topics], path)
        return settled

    def _check_topics(self, topic: Floats, path: Path) -> None:
        if self._one_hot[topic.argmax(1)].tobytes() == topic.tobytes():
            return
        one = (topic.max(1) >= 1 - TOLERANCE) & (topic.sum(1) <= 1 + TOLERANCE)
        if not one.all():
            where, last = path(int(np.argmin(one)), 0), self._topics - 1
            raise Refused(422, f"{where}: features 0 to {last} are the topic: one of them 1, the others 0")


class ResponseRange:
    """Checks what users did with the positions of a slate; a field or a position that is left out is zero."""

    def __init__(self, spec: ProblemSpec) -> None:
        """Take the response's fields."""
        self._fields, self._size = {field.name: field for field in spec.response}, spec.slate_size

    def check(self, responses: Sequence[tuple[str, dict[str, list[float]]]]) -> None:
        """Check responses; beside each is how a path to it begins.

        Raises:
            Refused: an unknown field, more numbers than positions, or values that a field cannot have.
        """
        if not responses:
            return
        for path, response in responses:
            if not response.keys() <= self._fields.keys():
                raise Refused(422, f"{path}response: has the fields {', '.join(self._fields)}, and no others")
            for name, values in response.items():
                if len(values) > self._size:
                    raise Refused(422, f"{path}response.{name}: must be at most {self._size} numbers, one a position")
        for name, field in self._fields.items():
            at = [(path, response[name]) for path, response in responses if name in response]
            fits = _fits(field, np.array([value for _, values in at for value in values]))
            if not fits.all():
                wrong = int(np.argmin(fits))
                path, column = [(path, column) for path, values in at for column in range(len(values))][wrong]
                raise Refused(422, f"{path}response.{name}[{column}]: must be {_allowed(field)}")

    @staticmethod
    def ends(field: ResponseField) -> tuple[float, float]:
        """Return the range of a number; 0 stands for no document."""
        return max(min(field.low, 0.0), -float(HUGE)), min(max(field.high, 0.0), float(HUGE))


def _fits(field: ResponseField, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values a field can have."""
    if field.kind == "number":
        low, high = ResponseRange.ends(field)
        slack = TOLERANCE * max(1.0, abs(low), abs(high))
        return (values >= low - slack) & (values <= high + slack)
    high = 1 if field.kind == "flag" else int(field.high) - 1
    return (values >= 0) & (values <= high) & (values == np.floor(values))


def _allowed(field: ResponseField) -> str:
    if field.kind == "flag":
        return "0 or 1"
    if field.kind == "category":
        return f"a whole number from 0 to {int(field.high) - 1}"
    low, high = ResponseRange.ends(field)
    return f"from {low:.7g} to {high:.7g}"
