"""A problem without its simulator: all that an algorithm, a checkpoint or a log needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Bound, Count, LogWeight
from recsys_cli.config.structured import build_as
from recsys_cli.config.types import convert
from recsys_cli.envs.checks import require_choice
from recsys_cli.envs.choice_models import ChoiceModel
from recsys_cli.envs.features import Features as Features

DENSE, INDEX = "dense", "index"


@dataclass(frozen=True)
class ChoiceSpec:
    """What an algorithm may assume about the user's choice, without hidden state.

    Attributes:
        kind: `multinomial_logit`, `multinomial_proportional`, `exponential_cascade`, `proportional_cascade`
            (RecSim's choice models), `first_position` (the user always takes the first item) or `unknown`.
        observable: whether an item's score is a function of the observation (user features dot document features).
        no_click_mass: score of not clicking (a logit for `multinomial_logit`).
        min_normalizer: subtracted from every score by the proportional models.
        attention_prob: probability of examining the next position, for the cascades.
        score_scaling: turns a score into a click probability, for the cascades.
        attended: number of leading slate positions the user looks at; None: all of them.
    """

    kind: str = "unknown"
    observable: bool = False
    no_click_mass: LogWeight = 0.0
    min_normalizer: float = 0.0
    attention_prob: float = 1.0
    score_scaling: float = 1.0
    attended: Count | None = None

    def __post_init__(self) -> None:
        """Check that the choice of an observable score is known."""
        if self.observable:
            require_choice("choice.kind", self.kind, get_args(ChoiceModel))


@dataclass(frozen=True)
class Documents:
    """What a document looks like: features `[F]`, its topic's number, or its number in a table of items.

    An array of documents holds float32 features `[.., F]` or, if it is of integers, numbers `[..]`: of topics if a
    document is its topic, one-hot, else of rows of `items`.

    Attributes:
        features: of one document.
        topics: number of leading features that are the one-hot topic; 0: it has none.
        quality: which feature is the document's quality, if that is observed.
        items: features of all items, `[M, F]` float32, if documents are drawn from a fixed set.
    """

    features: Features
    topics: int = 0
    quality: int | None = None
    items: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], items: NDArray[np.float32] | None) -> Documents:
        """Restore what `ProblemSpec.to_dict` made of them, and the items' features.

        Raises:
            ConfigError: a wrong type, or features that are not there.
        """
        features, hints = Features.from_dict(values["features"]), get_type_hints(cls, include_extras=True)
        topics, quality = (convert(values[name], hints[name], name) for name in ("topics", "quality"))
        if not 0 <= topics <= len(features) or not 0 <= (quality or 0) < max(len(features), 1):
            raise ConfigError(f"topics={topics}, quality={quality} of {len(features)} features of a document")
        if items is not None and not (items.dtype == np.float32 and items.shape[1:] == (len(features),)):
            raise ConfigError(f"items {items.dtype}{list(items.shape)} must be float32 with {len(features)} features")
        return cls(features, topics, quality, items)

    def __len__(self) -> int:
        """Return the number of features F."""
        return len(self.features)

    @property
    def one_hot(self) -> bool:
        """Whether a document is its topic, one-hot."""
        return self.topics == len(self) > 0

    @property
    def numbers(self) -> int:
        """Number of different document numbers; 0: documents have none."""
        return len(self.items) if self.items is not None else self.topics if self.one_hot else 0

    @property
    def formats(self) -> tuple[str, ...]:
        """The possible values of `doc_format`: `dense`, and `index` if documents have numbers."""
        return (DENSE, INDEX) if self.numbers else (DENSE,)

    @property
    def compact(self) -> str:
        """The `doc_format` that takes the least memory."""
        return self.formats[-1]

    @property
    def number_dtype(self) -> type[np.unsignedinteger[Any]] | type[np.signedinteger[Any]]:
        """The dtype that holds a document's number."""
        return np.uint8 if self.numbers <= 256 else np.int16 if self.numbers <= 2**15 else np.int32

    def dense(self, doc: NDArray[Any]) -> NDArray[Any]:
        """Return the features `[.., F]` of documents in either form."""
        if not are_numbers(doc):
            return doc
        if self.items is not None:
            return self.items[doc]
        return np.eye(len(self), dtype=np.float32)[doc]

    def topics_of(self, doc: NDArray[Any]) -> NDArray[np.int64]:
        """Return the topics `[..]` of documents in either form."""
        if are_numbers(doc) and self.items is None:
            return doc.astype(np.int64)
        topic: NDArray[np.int64] = self.dense(doc)[..., : self.topics].argmax(-1)
        return topic

    def space(self, num_candidates: int, doc_format: str = DENSE) -> spaces.Box:
        """Return the space of one user's candidates, `[C, F]` or, by number, `[C]`."""
        if doc_format == INDEX:
            return spaces.Box(0, self.numbers - 1, (num_candidates,), self.number_dtype)
        return self.features.space(num_candidates)


def are_numbers(doc: NDArray[Any]) -> bool:
    """Whether documents are numbers `[..]`, not features `[.., F]`."""
    return doc.dtype.kind in "iu"


@dataclass(frozen=True)
class ResponseField:
    """An observed field of the user's response to each position of a slate, such as `click`.

    Attributes:
        kind: `flag` (0 or 1), `number` from `low` to `high` (or 0: no document), or `category` (0 to `high` - 1).
    """

    name: str
    kind: Literal["flag", "number", "category"] = "flag"
    low: Bound = 0.0
    high: Bound = 1.0

    def space(self, slate_size: int) -> spaces.Space[Any]:
        """Return the space of one slate's, `[k]`."""
        if self.kind == "flag":
            return spaces.MultiBinary(slate_size)
        if self.kind == "category":
            return spaces.MultiDiscrete([int(self.high)] * slate_size)
        return spaces.Box(min(self.low, 0.0), max(self.high, 0.0), (slate_size,), np.float32)


@dataclass(frozen=True)
class ProblemSpec:
    """A problem as policies and learners know it; a simulator, a checkpoint, a log and a service each have one.

    Attributes:
        name: the problem's.
        user: the user's observed features `[U]`.
        documents: what a candidate looks like.
        response: the observed fields of the user's response, `click` first.
        slate_size: documents shown at every step (k).
        num_candidates: documents offered at every step (C), at most; None: any number.
        min_candidates: the fewest offered; fewer than k give a shorter slate. None: always C.
        resample_documents: whether candidates are drawn at every step, or once per user.
        choice: how the user chooses.
        reward: the response field that is the reward of a click (`click`: 1 per click); None if unknown.
        truncation: steps after which an episode is truncated (not terminated), if any.
        horizon: upper bound of an episode's length in steps, if there is one.
        groups: the problem of each group of users, by name, if the last features of a user are its group, one-hot.
    """

    name: str
    user: Features
    documents: Documents
    response: tuple[ResponseField, ...]
    slate_size: Count
    num_candidates: Count | None
    min_candidates: Count | None = None
    resample_documents: bool = True
    choice: ChoiceSpec = ChoiceSpec()
    reward: str | None = None
    truncation: Count | None = None
    horizon: Count | None = None
    groups: Mapping[str, ProblemSpec] = field(default_factory=dict, hash=False)

    @property
    def width(self) -> int:
        """The most candidates of a step, C.

        Raises:
            ConfigError: there is no limit.
        """
        if self.num_candidates is None:
            raise ConfigError(f"env={self.name} has no fixed number of candidates: set env.num_candidates=<number>")
        return self.num_candidates

    @property
    def varying(self) -> bool:
        """Whether the number of candidates varies, so that observations carry a `mask`."""
        return self.min_candidates is not None and self.min_candidates != self.num_candidates

    @property
    def interests(self) -> int:
        """Number of leading user features that documents may be compared with: all but the group."""
        return len(self.user) - len(self.groups)

    @property
    def attended(self) -> int:
        """Number of leading slate positions that the user looks at."""
        return min(self.choice.attended or self.slate_size, self.slate_size)

    @property
    def order_matters(self) -> bool:
        """Whether the order of a slate matters to the user."""
        return self.attended > 1 and self.choice.kind.endswith("cascade")

    @property
    def observation_bytes(self) -> int:
        """Bytes of one user's observation, documents in their most compact form and without the response."""
        numbers = np.dtype(self.documents.number_dtype).itemsize
        document = numbers if self.documents.compact == INDEX else 4 * len(self.documents)
        return 4 * len(self.user) + self.width * (document + self.varying)

    def with_candidates(self, num_candidates: int) -> ProblemSpec:
        """Return the same problem with another number of candidates.

        Raises:
            ConfigError: fewer than a slate holds, if slates are always full.
        """
        if num_candidates < (1 if self.varying else self.slate_size):
            raise ConfigError(f"env.num_candidates={num_candidates} must be at least env.slate_size={self.slate_size}")
        fewest = None if self.min_candidates is None else min(self.min_candidates, num_candidates)
        return dataclasses.replace(self, num_candidates=num_candidates, min_candidates=fewest)

    def response_space(self) -> spaces.Dict:
        """Return the space of one user's response: arrays `[k]`."""
        return spaces.Dict({each.name: each.space(self.slate_size) for each in self.response})

    def observation_space(self, doc_format: str = DENSE) -> spaces.Dict:
        """Return one user's observation space: `user` [U], `doc` [C, F] or [C], `response` of [k] arrays."""
        more = {"mask": spaces.MultiBinary(self.width)} if self.varying else {}
        doc = self.documents.space(self.width, doc_format)
        return spaces.Dict({"user": self.user.space(), "doc": doc, "response": self.response_space(), **more})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, all but the items' features."""
        documents = {"features": self.documents.features.to_dict(), "topics": self.documents.topics}
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "user": self.user.to_dict(),
            "documents": {**documents, "quality": self.documents.quality},
            "response": [dataclasses.asdict(each) for each in self.response],
            "choice": dataclasses.asdict(self.choice),
            **({"groups": {name: each.to_dict() for name, each in self.groups.items()}} if self.groups else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], items: NDArray[np.float32] | None = None) -> ProblemSpec:
        """Restore what `to_dict` returned, and the items' features.

        Raises:
            ConfigError: something is missing, unknown or of the wrong type.
        """
        try:
            hints = get_type_hints(cls, include_extras=True)
            return cls(
                **{name: convert(values[name], hints[name], name) for name in _PLAIN},
                user=Features.from_dict(values["user"]),
                documents=Documents.from_dict(values["documents"], items),
                response=tuple(build_as(ResponseField, each, "response") for each in values["response"]),
                choice=build_as(ChoiceSpec, values["choice"], "choice"),
                groups={str(name): cls.from_dict(each, items) for name, each in values.get("groups", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
            raise ConfigError(f"the problem's spec is damaged: {reason}") from None


_PLAIN = (
    *("name", "slate_size", "num_candidates", "min_candidates", "resample_documents"),
    *("reward", "truncation", "horizon"),
)
