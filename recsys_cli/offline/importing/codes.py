"""Numbers for texts: of items and categories, in the order in which they are first seen; hashes of ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes32 = NDArray[np.int32]
ABSENT, UNKNOWN = -1, -2  # no text; a text that a fixed vocabulary does not have


class Codes:
    """A vocabulary that grows as it meets new texts, unless it is fixed.

    Attributes:
        values: the texts; a text's number is its place.
    """

    def __init__(self, texts: Sequence[str] = (), fixed: bool = False) -> None:
        """Start with some texts."""
        self.values = pa.array(texts, pa.string())
        self.fixed = fixed

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.values)

    def encode(self, texts: pa.Array) -> Codes32:
        """Return the numbers [n] of texts; -1 for null and, in a fixed vocabulary, -2 for others."""
        encoded = texts.dictionary_encode()
        words = encoded.dictionary
        places = pc.index_in(words, value_set=self.values)
        if not self.fixed and places.null_count:
            self.values = pa.concat_arrays([self.values, words.filter(pc.is_null(places))])
            places = pc.index_in(words, value_set=self.values)
        numbers = np.append(filled(places, UNKNOWN).astype(np.int32), np.int32(ABSENT))
        return numbers[filled(encoded.indices, -1)]

    def ordered(self, used: NDArray[np.int64]) -> tuple[list[str], Codes32]:
        """Return some of the texts sorted (numbers by size), and for each old number the new one; -1 for the others.

        Args:
            used: the old numbers of these texts.
        """
        texts: list[str] = self.values.take(used).to_pylist()
        order = sorted(range(len(texts)), key=lambda i: _by_size(texts[i]))
        renumbered = np.full(len(self) + 1, ABSENT, np.int32)
        renumbered[used[order]] = np.arange(len(texts), dtype=np.int32)
        return [texts[i] for i in order], renumbered


def _by_size(text: str) -> tuple[bool, int, str]:
    plain = text.isascii() and text.isdigit()
    return (not plain, int(text) if plain else 0, text)


def filled(array: pa.Array, value: int) -> NDArray[np.int64]:
    """Return integers as NumPy, null as `value`."""
    return np.asarray(pc.fill_null(array, value)).astype(np.int64)


def hashes(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a 64-bit hash [n] of each text (FNV-1a, then mixed); 0 for null."""
    encoded = texts.dictionary_encode()
    words = encoded.dictionary.cast(pa.large_binary())
    ends = np.frombuffer(words.buffers()[1], np.int64)[words.offset : words.offset + len(words) + 1]
    data = np.frombuffer(words.buffers()[2] or b"", np.uint8)
    lengths = np.diff(ends)
    state = np.full(len(words), 0xCBF29CE484222325, np.uint64)
    for byte in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > byte)
        state[longer] = (state[longer] ^ data[ends[longer] + byte]) * np.uint64(0x100000001B3)
    return np.append(mixed(state), np.uint64(0))[filled(encoded.indices, -1)]


def combined(parts: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return one hash [n] of several, in order."""
    total = np.zeros_like(parts[0])
    for part in parts:
        total = mixed(total * np.uint64(3) + part)
    return total


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers whose every bit depends on every bit of the given ones (SplitMix64's last step)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
