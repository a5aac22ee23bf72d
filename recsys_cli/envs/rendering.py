"""What a user was shown and did, as text: gymnasium's `ansi` rendering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec, are_numbers

MOST = 10  # candidates, and features of one vector, that are written out


def rendered(
    spec: ProblemSpec, observation: Mapping[str, Any], shown: NDArray[Any], slate: NDArray[Any] | None, headline: str
) -> str:
    """Return the last slate with the user's response to it, the user, and what is on offer now, a line each.

    Args:
        spec: of the problem.
        observation: of one user.
        shown: the candidates that the slate was taken from, `[C, F]` or `[C]`.
        slate: `[k]`; None before the first step.
        headline: first line.
    """
    lines = [headline]
    if slate is not None:
        answers = [_response(spec, observation["response"], position) for position in range(len(slate))]
        lines += _block(
            "shown",
            (
                f"{item:>4}  {_document(spec, shown, item)}{answer}"
                for item, answer in zip(slate.tolist(), answers, strict=True)
                if item >= 0
            ),
        )
    if len(spec.user):
        lines += _block("user", [_vector(observation["user"], spec.user.names)])
    doc = observation["doc"]
    present = np.flatnonzero(observation["mask"]) if "mask" in observation else np.arange(len(doc))
    offered = [f"{item:>4}  {_document(spec, doc, item)}" for item in present[:MOST].tolist()]
    more = [f"      ... and {len(present) - MOST} more"] if len(present) > MOST else []
    return "\n".join([*lines, *_block("on offer", [*offered, *more])])


def _block(title: str, lines: Iterable[str]) -> list[str]:
    """Return lines under a title in the margin."""
    return [f"{'' if i else title:<9}{line}".rstrip() for i, line in enumerate(lines)]


def _document(spec: ProblemSpec, doc: NDArray[Any], item: int) -> str:
    documents = spec.documents
    one = doc[item : item + 1]
    if are_numbers(one) and documents.items is not None:
        return f"item {int(one[0])}"
    topic = [f"topic {int(documents.topics_of(one)[0])}"] if documents.topics else []
    rest = documents.dense(one)[0][documents.topics :]
    names = documents.features.names[documents.topics :]
    if documents.quality is not None and len(rest) == 1:
        names = ("quality",)
    return ", ".join([*topic, *([_vector(rest, names)] if len(rest) else [])])


def _response(spec: ProblemSpec, response: Mapping[str, NDArray[Any]], position: int) -> str:
    """Return a click and what came of it; of other items, what is observed all the same."""
    said = ["clicked" if response["click"][position] else "-------"] if "click" in response else []
    others = [each for each in spec.response if each.name != "click" and each.kind != "category"]
    said += [f"{each.name} {response[each.name][position]:.4g}" for each in others]
    return "  " + "  ".join(said)


def _vector(values: NDArray[Any], names: tuple[str, ...]) -> str:
    """Return numbers, with their names if they have any."""
    numbers = [f"{value:.2f}" for value in values[:MOST].tolist()]
    if names:
        numbers = [f"{name} {number}" for name, number in zip(names, numbers, strict=False)]
    more = f" ... ({len(values)} in all)" if len(values) > MOST else ""
    return (", " if names else " ").join(numbers) + more
