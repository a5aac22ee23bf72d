"""How documents and users look on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec

MOST_FACTS = 3
GOLDEN = 0.618034  # hues that far apart differ, however many there are


class Fact(Struct):
    """A number on a card: its name, its value, and the ends of its scale."""

    name: str
    value: float
    low: float
    high: float


class Card(Struct):
    """A document: what it is called, its colour as a fraction of the circle of hues, and what is known of it."""

    label: str
    hue: float
    facts: list[Fact]


def cards(spec: ProblemSpec, user: NDArray[Any], doc: NDArray[Any]) -> list[Card]:
    """Return the cards of documents `[C, F]` for a user `[U]`."""
    documents = spec.documents
    numbers = documents.topics_of(doc) if documents.topics else _items(spec, doc)
    kind = "Topic" if documents.topics else "Item" if documents.items is not None else "Document"
    facts = _facts(spec, user, doc)
    return [
        Card(f"{kind} {number}", float(number * GOLDEN % 1), facts[row]) for row, number in enumerate(numbers.tolist())
    ]


def _items(spec: ProblemSpec, doc: NDArray[Any]) -> NDArray[Any]:
    """Return the documents' numbers among the items, or if there are none their positions."""
    items = spec.documents.items
    if items is None:
        return np.arange(1, len(doc) + 1)
    return np.array([np.square(items - row).sum(1).argmin() for row in doc], int)


def _facts(spec: ProblemSpec, user: NDArray[Any], doc: NDArray[Any]) -> list[list[Fact]]:
    """Return what to say of each document: the user's interest, if that can be seen, quality, named features."""
    features, columns = spec.documents.features, list[tuple[str, NDArray[Any], float, float]]()
    if spec.choice.observable and spec.interests == doc.shape[1]:
        columns.append(("interest", doc @ user[: spec.interests], -1.0, 1.0))
    own = [] if spec.documents.quality is None else [(spec.documents.quality, "quality")]
    named = [(at, features.names[at]) for at in range(spec.documents.topics, len(features.names))]
    for at, name in [*own, *(each for each in named if each[0] != spec.documents.quality)]:
        columns.append((name, doc[:, at], features.low[at], features.high[at]))
    if not columns and not spec.documents.topics:
        columns = [(f"feature {at}", doc[:, at], features.low[at], features.high[at]) for at in range(doc.shape[1])]
    scales = [(name, values, *_scale(values, low, high)) for name, values, low, high in columns[:MOST_FACTS]]
    return [
        [Fact(name, float(values[row]), low, high) for name, values, low, high in scales] for row in range(len(doc))
    ]


def _scale(values: Sequence[float] | NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return finite ends: what the problem says, or else what is there."""
    return (
        low if np.isfinite(low) else float(min(np.min(values), 0)),
        high if np.isfinite(high) else float(max(np.max(values), 1)),
    )
