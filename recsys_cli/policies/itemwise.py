"""Item-wise features phi(s, i): of the state s of a user and a session in which document i, or nothing, is clicked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.base import Floats
from recsys_cli.policies.memory import TOTALS, MemoryKind, memory_features
from recsys_cli.policies.session_limit import ends_of, learned_limit

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

MOST_PRODUCTS = 512  # features of a document times features of the user
MOST_SQUARES = 256  # user features that are squared too
POWERS = 3  # of the share left

Columns = Mapping[str, Any]


class ItemwiseFeatures:
    """Blocks of features, each of mean 0 and of standard deviation 1/2 before they are squared or multiplied.

    | block | features |
    |---|---|
    | `state` | 1, x, x^2, with x the user's features and what the memory holds of documents |
    | `limit` | z, z^2, z^3, with z the share of the session that is left |
    | `totals` | h, the session's totals (steps, clicks, ...) |
    | `state_limit`, `state_totals` | (x, x^2) z; (x, x^2) times each total |
    | `item`, `item_limit` | e(i) m(s, i); the same times z. 0 if nothing is clicked |
    | `waves`, `waves_limit` | likewise, with random Fourier features of the document (Rahimi & Recht 2007) for e(i) |
    | `null`, `null_limit` | 1, z if nothing is clicked; else 0 |

    e is the one-hot topic, or the document's features and their squares; only then are there waves. m is 1, a, a^2 with
    the affinity a = user . document if both have the same features (but for the user's group); else 1, x if few.

    Sessions that end when something is used up end at a plane in the space of their totals. Its normal w is learned
    from the totals before the last step of sessions, `w . h = 1` by least squares; `z = 1 - w . h`. If sessions end
    elsewhere, z is 1.

    Attributes:
        blocks: columns of each block, by name.
        size: number of columns, D.
    """

    def __init__(self, spec: ProblemSpec, memory: MemoryKind, fourier: int, seed: int = 0) -> None:
        """Take the problem.

        Args:
            spec: the problem; the number of candidates is free.
            memory: the session memory.
            fourier: number of random Fourier features of documents that are not one-hot.
            seed: of their frequencies.
        """
        self.documents, users = spec.documents, len(spec.user)
        self.remembers, extra = memory != "none", max(memory_features(memory, spec) - TOTALS, 0)
        self.x_size = users + extra
        dense = not spec.documents.one_hot
        self.item_size, self.waves = len(spec.documents) * (1 + dense), fourier * dense
        self.affine = spec.interests == len(spec.documents) > 0
        few = (self.item_size + self.waves) * (1 + self.x_size) <= MOST_PRODUCTS
        self.modifiers = 3 if self.affine else 1 + self.x_size * few
        self.squares = self.x_size <= MOST_SQUARES
        rng, width = np.random.default_rng(seed), len(spec.documents)
        self.statistics: dict[str, Floats] = {
            "x": np.stack([np.zeros(self.x_size), np.ones(self.x_size)]),
            "doc": np.stack([np.zeros(width), np.ones(width)]),
            "affinity": np.array([[0.0], [1.0]]),
            "totals": np.stack([np.zeros(TOTALS), np.ones(TOTALS)]),
            "limit": np.zeros(TOTALS),
            # Of a function that changes over about one standard deviation.
            "frequencies": rng.normal(0, 2 / np.sqrt(max(width, 1)), (width, self.waves)),
            "phases": rng.uniform(0, 2 * np.pi, self.waves),
        }
        self.blocks = self._layout()
        self.size = max(block.stop for block in self.blocks.values())

    def _layout(self) -> dict[str, slice]:
        x, items, waves = self.x_size * (1 + self.squares), self.item_size * self.modifiers, self.waves * self.modifiers
        sizes = {"state": 1 + x, "item": items, "waves": waves, "null": 1}
        if self.remembers:
            sizes |= {"limit": POWERS, "totals": TOTALS, "state_limit": x, "state_totals": x * TOTALS}
            sizes |= {"item_limit": items, "waves_limit": waves, "null_limit": 1}
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    @property
    def limited(self) -> bool:
        """Whether a limit of sessions was learned."""
        return bool(self.statistics["limit"].any())

    def free(self) -> NDArray[np.bool_]:
        """Return which columns are the main effects, `[D]`: the constant, and what of the session is left or spent."""
        free = np.zeros(self.size, bool)
        free[self.blocks["state"].start] = True
        if self.remembers:
            free[self.blocks["limit"].start] = True
            free[self.blocks["totals"]] = True
        return free

    def columns(self, blocks: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of the columns of some blocks."""
        return np.concatenate([np.arange(self.size)[self.blocks[name]] for name in blocks])

    def fit(self, columns: Columns) -> None:
        """Learn means, deviations and the sessions' limit.

        Args:
            columns: transitions: `user`, `memory`, `slate_doc`, `terminated`.
        """
        statistics = self.statistics
        raw, shown = self.raw_state(columns["user"], columns.get("memory")), columns["slate_doc"]
        statistics["x"] = _moments(raw)
        if not self.documents.one_hot:
            statistics["doc"] = _moments(self.documents.dense(shown).reshape(-1, len(self.documents)))
        if self.affine:
            statistics["affinity"] = _moments(self._affinity(columns["user"], shown).reshape(-1, 1))
        ended = np.asarray(columns["terminated"], bool)
        if self.remembers:
            totals = columns["memory"][:, :TOTALS].astype(np.float64)
            statistics["totals"], statistics["limit"] = _moments(totals), learned_limit(ends_of(totals[ended]))

    def expected(
        self, blocks: Sequence[str], columns: Columns, shown: NDArray[Any], p: Floats, p_null: Floats, prefix: str = ""
    ) -> Floats:
        """Return the mean features `[n, D']` over what is clicked.

        Args:
            blocks: those wanted, in the order of `blocks`.
            columns: with `user` [n, U] and `memory`.
            shown: documents of a slate, `[n, k]` or `[n, k, F]`.
            p: probability of a click on each, `[n, k]`.
            p_null: of no click, `[n]`.
            prefix: of the columns' names.
        """
        user, memory = columns[f"{prefix}user"], columns.get(f"{prefix}memory")
        z, h = self._session(memory, len(user))
        x = self._state(user, memory)
        powers = np.concatenate([x, x * x], axis=1) if self.squares else x
        parts: dict[str, Floats] = {
            "state": powers,
            "limit": np.stack([z, z * z, z * z * z], axis=1),
            "totals": h,
            "null": p_null[:, None],
        }
        modified = p[..., None] * self._modifiers(user, x, shown) if any(map(_of_documents, blocks)) else None
        if modified is not None:
            parts["item"] = self._mean_item(shown, modified)
            if any(name.startswith("waves") for name in blocks):
                parts["waves"] = _mean(self._waves(shown), modified)
        factors = {"limit": z[:, None], "totals": h}
        found = [np.ones((len(x), 1))] if "state" in blocks else []
        for name in blocks:
            of, _, by = name.partition("_")
            found.append(_products(parts[of], factors[by]) if by else parts[of])
        return np.concatenate(found, axis=1)

    def values(self, weights: Floats, columns: Columns, doc: NDArray[Any], prefix: str = "") -> tuple[Floats, Floats]:
        """Return the values of a click on each candidate, `[n, C]`, and of no click, `[n]`.

        Args:
            weights: of all columns, `[D]`; blocks of zeros cost nothing.
            columns: with `user` [n, U] and `memory`.
            doc: candidates, `[n, C]` or `[n, C, F]`.
            prefix: of the columns' names.
        """
        user, memory = columns[f"{prefix}user"], columns.get(f"{prefix}memory")
        used = [name for name, block in self.blocks.items() if weights[block].any()]
        n, candidates = doc.shape[:2]
        about = [name for name in used if not name.startswith("null") and not _of_documents(name)]
        nothing = np.zeros((n, 0))
        base = np.zeros(n)
        if about:
            base = self.expected(about, columns, doc, nothing, base, prefix) @ weights[self.columns(about)]
        q, q_null = np.zeros((n, candidates)), base.copy()
        x, z = self._state(user, memory), self._session(memory, len(user))[0]
        for name in used:
            own, factor = weights[self.blocks[name]], z if name.endswith("limit") else np.ones(n)
            if _of_documents(name):
                of_doc = self._weighted(name, own.reshape(-1, self.modifiers), doc)
                q += (of_doc * self._modifiers(user, x, doc)).sum(-1) * factor[:, None]
            elif name.startswith("null"):
                q_null += own[0] * factor
        return q + base[:, None], q_null

    def raw_state(self, user: NDArray[Any], memory: NDArray[Any] | None) -> Floats:
        """Return the user's features and what the memory holds of documents, `[n, ...]`, as they are."""
        parts = [user] if memory is None else [user, memory[:, TOTALS:]]
        return np.concatenate(parts, axis=1).astype(np.float64)

    def _state(self, user: NDArray[Any], memory: NDArray[Any] | None) -> Floats:
        return _scaled(self.raw_state(user, memory), self.statistics["x"])

    def _session(self, memory: NDArray[Any] | None, users: int) -> tuple[Floats, Floats]:
        """Return the share left `[n]` and the totals `[n, 4]`."""
        if memory is None:
            return np.zeros(users), np.zeros((users, TOTALS))
        h = memory[:, :TOTALS].astype(np.float64)
        return 1 - h @ self.statistics["limit"], _scaled(h, self.statistics["totals"])

    def _affinity(self, user: NDArray[Any], doc: NDArray[Any]) -> Floats:
        if self.documents.one_hot:
            return np.take_along_axis(user.astype(np.float64), self.documents.topics_of(doc), axis=1)
        dense = self.documents.dense(doc)
        return np.einsum("nu,ncu->nc", user[:, : dense.shape[2]].astype(np.float64), dense)

    def _dense(self, doc: NDArray[Any]) -> Floats:
        """Return documents that are not one-hot, standardised, `[n, m, F]`."""
        return _scaled(self.documents.dense(doc).astype(np.float64), self.statistics["doc"])

    def _polynomial(self, doc: NDArray[Any]) -> Floats:
        dense = self._dense(doc)
        return np.concatenate([dense, dense * dense], axis=-1)

    def _waves(self, doc: NDArray[Any]) -> Floats:
        return np.asarray(np.cos(self._dense(doc) @ self.statistics["frequencies"] + self.statistics["phases"]))

    def _modifiers(self, user: NDArray[Any], x: Floats, doc: NDArray[Any]) -> Floats:
        """Return m(s, i), `[n, m, Q]`."""
        if self.affine:
            a = _scaled(self._affinity(user, doc)[..., None], self.statistics["affinity"])
            return np.concatenate([np.ones_like(a), a, a * a], axis=-1)
        about = np.concatenate([np.ones((len(x), 1)), x], axis=1)[:, : self.modifiers]
        return np.broadcast_to(about[:, None], (*doc.shape[:2], self.modifiers))

    def _mean_item(self, doc: NDArray[Any], modified: Floats) -> Floats:
        """Return sum_j e(j) modified_j, `[n, E Q]`, with p_j m(s, j) `[n, m, Q]`."""
        if not self.documents.one_hot:
            return _mean(self._polynomial(doc), modified)
        n = len(doc)
        out, topics = np.zeros((n, self.item_size, self.modifiers)), self.documents.topics_of(doc)
        for j in range(doc.shape[1]):
            out[np.arange(n), topics[:, j]] += modified[:, j]
        return out.reshape(n, -1)

    def _weighted(self, block: str, each: Floats, doc: NDArray[Any]) -> Floats:
        """Return sum_e e(i) w_e, `[n, C, Q]`, with the weights `[E, Q]` of a block of items or of waves."""
        if block.startswith("waves"):
            return self._waves(doc) @ each
        return each[self.documents.topics_of(doc)] if self.documents.one_hot else self._polynomial(doc) @ each

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies of the statistics."""
        return {name: value.copy() for name, value in self.statistics.items()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        self.statistics = {name: np.array(value, np.float64) for name, value in tensors.items()}


def _of_documents(block: str) -> bool:
    return block.startswith(("item", "waves"))


def _mean(basis: Floats, modified: Floats) -> Floats:
    """Return sum_j basis_j modified_j, `[n, E Q]`."""
    return np.einsum("nje,njq->neq", basis, modified).reshape(len(basis), -1)


def _moments(values: Floats) -> Floats:
    """Return mean and twice the standard deviation of each column, `[2, P]`; 1 for a constant one (Gelman 2008)."""
    spread = 2 * values.std(0, dtype=np.float64)
    return np.stack([values.mean(0, dtype=np.float64), np.where(spread > 1e-6, spread, 1.0)])


def _products(left: Floats, right: Floats) -> Floats:
    """Return all products of two rows of features, `[n, P Q]`."""
    return (left[:, :, None] * right[:, None]).reshape(len(left), left.shape[1] * right.shape[1])


def _scaled(values: Floats, moments: Floats) -> Floats:
    return np.asarray((values - moments[0]) / moments[1])
