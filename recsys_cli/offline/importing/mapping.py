"""The mapping yaml of `recsys import`: which column of the user's log is what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.ranges import Bound, Count, Fraction, NotEmpty, Text
from recsys_cli.config.structured import build_as
from recsys_cli.config.types import convert
from recsys_cli.offline.importing.columns import as_list

Columns = Text | Annotated[list[Text], NotEmpty()]
"""A column's name, several names, or patterns such as `user_feature_*`."""
_GAP = re.compile(r"(\d+(?:\.\d+)?) *(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class SlateColumns:
    """What was shown.

    Attributes:
        columns: a column of lists, or one column per position; with `rows: impression` the column of the item.
        of: what the cells hold: item ids, or positions among the row's candidates, from 0.
        position: with `rows: impression`, the column that orders the rows of a slate; None: as they come.
        size: the most documents of a slate; longer ones are refused. None: as many as the longest has.
    """

    columns: Columns
    of: Literal["items", "positions"] = "items"
    position: Text | None = None
    size: Count | None = None


@dataclass(frozen=True)
class CandidateColumns:
    """What could have been shown.

    Attributes:
        columns: a column of lists, or one column per candidate; None: the log has none.
        of: what the cells hold: item ids, or all features of all candidates, one candidate after another.
        width: with `of: features`, the number of features of a candidate.
        mask: a column of lists of flags, 0 for an entry that is no candidate; None: all entries are.
        otherwise: the candidates of a log without any: all items shown in the `log`, on the same `day` (UTC), or only
            those of the `slate` itself.
        most: the most items that may be assumed so: each row holds them all.
    """

    columns: Columns | None = None
    of: Literal["items", "features"] = "items"
    width: Count | None = None
    mask: Text | None = None
    otherwise: Literal["log", "day", "slate"] = "log"
    most: Count = 2_000


@dataclass(frozen=True)
class ItemsTable:
    """The items' features.

    Attributes:
        file: CSV, Parquet or JSON lines, beside the mapping or the log; None: item ids are topics `0 .. topics - 1`.
        id: its column of ids.
        features: its columns of features, texts one-hot, lists of texts several-hot; None: all others.
        topics: number of topics, if an item is its topic.
        quality: the feature that is the item's observed quality, if there is one.
    """

    file: Text | None = None
    id: Text = "item_id"
    features: Columns | None = None
    topics: Count | None = None
    quality: Text | None = None

    def __post_init__(self) -> None:
        """Check that there is a file or topics."""
        if (self.file is None) == (self.topics is None):
            raise ConfigError(f"items.file={self.file or 'null'}, items.topics={self.topics}: give one of the two")


@dataclass(frozen=True)
class ClickColumns:
    """What was clicked.

    Attributes:
        columns: a column, of lists or not, or several.
        of: what the cells hold: a 0 or 1 per position (`flags`), positions in the slate, or item ids.
        first: the number of the slate's first position, with `of: positions`.
        none: the number that means no click, with `of: positions`; an empty cell and numbers below `first` always do.
        several: which click of a slate with several counts; all are kept as the response `click`.
    """

    columns: Columns
    of: Literal["flags", "positions", "items"] = "flags"
    first: Literal[0, 1] = 0
    none: int | None = None
    several: Literal["first", "last", "most_rewarded"] = "first"


@dataclass(frozen=True)
class RewardColumns:
    """What it was worth.

    Attributes:
        columns: the column; None with `of: click`.
        of: the row's number (`row`), 1 a click (`click`), the value at the clicked position, or the sum over positions.
        low: the least that is possible; a row with less is refused.
        high: the most.
    """

    columns: Columns | None = None
    of: Literal["click", "row", "clicked", "sum"] = "click"
    low: Bound | None = None
    high: Bound | None = None

    def __post_init__(self) -> None:
        """Check that there is a column where one is needed."""
        if (self.columns is None) != (self.of == "click"):
            raise ConfigError(
                f"reward.of={self.of} with reward.columns={self.columns}: "
                + ("a click needs no column" if self.of == "click" else "name the column")
            )


@dataclass(frozen=True)
class PropensityColumns:
    """The probability with which the slate was shown.

    Attributes:
        columns: a column, of lists or not, or several.
        of: one for each position, given those before it, or the whole slate's.
        scale: probabilities, or their logarithms: natural, to base 2 or to base 10.
        check: whether to refuse a log whose propensities are not what the mapping says (see `propensities`).
    """

    columns: Columns
    of: Literal["positions", "slate"] = "positions"
    scale: Literal["probability", "log", "log2", "log10"] = "probability"
    check: bool = True


@dataclass(frozen=True)
class Mapping:
    """A mapping yaml.

    Attributes:
        rows: what a row of the log is: a whole slate, or one shown item.
        slate: what was shown.
        clicks: what was clicked; None: nothing ever (then `reward.columns` is needed).
        reward: what it was worth.
        format: of the files; auto: by their names.
        delimiter: of a CSV file.
        list_separator: between the entries of a list written as text, unless it is JSON; None: `|`, `;`, `,` or a
            space, whichever is there.
        session: column of the session's or user's id; None: every slate is a session of its own (a bandit's log).
        session_gap: a session ends if nothing happens for so long, such as `30m`; None: never.
        time: column of the time: a number, or text as in 2026-11-28T05:10:00Z.
        time_unit: of a number.
        step: column that orders the rows of a session; None: by time, else as they come.
        slate_id: with `rows: impression`, the column (or several) with the slate's id; None: every row is a slate.
        user: columns of the user's features, numbers or lists of them; texts become one-hot.
        categories: columns among these, and among the items' features, that become one-hot though they are numbers.
        user_missing: a user's feature that is missing refuses the row, or is 0.
        candidates: what could have been shown.
        items: the items' features; None: an item is its own topic.
        response: more fields of the response, by name: columns as for `clicks.columns` with `of: flags`.
        propensity: the probability of what was shown; None: it is estimated.
        terminated: column of flags: the user left after this row.
        truncated: column of flags: the log ends after this row, but the session went on.
        valid: column of flags, 0 for the last observation of a truncated session, which has no slate.
        ends: what the last row of a session means if no column says so.
        broken_sessions: a refused row leaves a `gap` in its session, across which nothing is learned, or the session is
            `cut` there: its later rows are refused too, since their history is not known.
        max_refused: share of refused rows above which nothing is imported.
        max_categories: number of different texts of a feature above which it is no category.
    """

    rows: Literal["slate", "impression"]
    slate: SlateColumns
    clicks: ClickColumns | None = None
    reward: RewardColumns = field(default_factory=RewardColumns)
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    delimiter: Text = ","
    list_separator: Text | None = None
    session: Columns | None = None
    session_gap: Text | None = None
    time: Text | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "ms"
    step: Text | None = None
    slate_id: Columns | None = None
    user: Annotated[list[Text], NotEmpty()] | None = None
    categories: list[Text] = field(default_factory=list)
    user_missing: Literal["refuse", "zero"] = "refuse"
    candidates: CandidateColumns = field(default_factory=CandidateColumns)
    items: ItemsTable | None = None
    response: dict[str, Columns] = field(default_factory=dict)
    propensity: PropensityColumns | None = None
    terminated: Text | None = None
    truncated: Text | None = None
    valid: Text | None = None
    ends: Literal["terminated", "truncated"] = "terminated"
    broken_sessions: Literal["gap", "cut"] = "gap"
    max_refused: Fraction = 0.05
    max_categories: Count = 100

    def __post_init__(self) -> None:
        """Check keys against each other."""
        self._check_rows()
        if self.session_gap is not None and (self.time is None or self.session is None):
            raise ConfigError(f"session_gap={self.session_gap} needs session and time")
        if self.candidates.otherwise == "day" and self.candidates.columns is None and self.time is None:
            raise ConfigError("candidates.otherwise=day needs time")
        if self.clicks is None and self.reward.of in ("click", "clicked"):
            raise ConfigError(f"reward.of={self.reward.of} needs clicks; without any: reward.of=row and reward.columns")
        if self.clicks and self.clicks.several == "most_rewarded" and self.reward.of not in ("clicked", "sum"):
            raise ConfigError(
                f"clicks.several=most_rewarded needs a reward of each position, and reward.of={self.reward.of} has "
                "none; allowed: reward.of=clicked, reward.of=sum"
            )
        if "click" in self.response:
            raise ConfigError("response.click: clicks.columns names what was clicked")
        self.gap_ms()

    def _check_rows(self) -> None:
        impressions = self.rows == "impression"
        if not impressions and (self.slate_id is not None or self.slate.position is not None):
            raise ConfigError("slate_id and slate.position are for rows=impression; with rows=slate a row is a slate")
        if impressions and self.clicks is not None and self.clicks.of != "flags":
            raise ConfigError(f"clicks.of={self.clicks.of}: with rows=impression a row has a flag, clicks.of=flags")
        if self.candidates.of == "features" and self.slate.of != "positions":
            raise ConfigError("candidates.of=features: documents have no ids, so slate.of=positions is needed")
        if (self.candidates.of == "features") != (self.candidates.width is not None):
            raise ConfigError("candidates.width is the number of features of a candidate, with candidates.of=features")
        if self.candidates.columns is None and (self.slate.of == "positions" or self.candidates.mask is not None):
            raise ConfigError("slate.of=positions and candidates.mask need candidates.columns")

    def gap_ms(self) -> int | None:
        """Return `session_gap` in milliseconds.

        Raises:
            ConfigError: it is no duration.
        """
        if self.session_gap is None:
            return None
        if not (match := _GAP.fullmatch(self.session_gap.strip())):
            raise ConfigError(f"session_gap={self.session_gap} must be a number of s, m, h or d, such as 30m")
        return int(float(match[1]) * _SECONDS[match[2]] * 1_000)

    def named(self) -> dict[str, list[str]]:
        """Return the columns, or patterns, that each key names."""
        keys: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        keys |= {f"response.{name}": columns for name, columns in self.response.items()}
        for name in ("slate", "clicks", "reward", "candidates", "propensity"):
            group = getattr(self, name)
            keys[f"{name}.columns"] = None if group is None else group.columns
        keys["slate.position"], keys["candidates.mask"] = self.slate.position, self.candidates.mask
        return {key: as_list(columns) for key, columns in keys.items() if columns is not None}


_PLAIN = ("session", "time", "step", "slate_id", "user", "terminated", "truncated", "valid")


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping yaml.

    Raises:
        ConfigError: there is none, or it is not valid; the line names the file and the key.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"mapping={path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"mapping={path} is no yaml: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"mapping={path} holds no keys")
    try:
        response = convert(values.get("response") or {}, dict[str, Columns], "response")
        mapping: Mapping = build_as(Mapping, {**values, "response": response}, "")
    except ConfigError as error:
        raise ConfigError(f"mapping={path}: {error}") from None
    return mapping
