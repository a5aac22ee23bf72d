"""What an import has found, for people and as JSON."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Any

REPORT = "import_report.json"


@dataclass
class Report:
    """The findings.

    Attributes:
        files: read.
        rows: in them, damaged lines included.
        refused: rows by reason.
        examples: the first places of each reason.
        slates, episodes: written.
        click_rate: slates with a click.
        several_clicks: slates with more than one.
        disordered: slates before whose step, or time, their session has a later one in the file; they were sorted.
        gaps: places where steps of an episode are missing.
        longest: steps of the longest episode.
        time: of the first and the last row.
        reward: the least and the greatest.
        lengths: slates by number of documents.
        user, documents: number of features.
        items: different items.
        candidates: where they are from, in words.
        propensities: `logged`, `logged, of whole slates`, or `estimated`.
        propensity_check: what the moments say; None without logged ones.
        held_out: log-likelihood of a held-out slate by each estimated model.
        warnings: what to know before trusting anything computed from the data set.
    """

    files: list[str]
    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    slates: int = 0
    episodes: int = 0
    click_rate: float = 0.0
    several_clicks: int = 0
    disordered: int = 0
    gaps: int = 0
    longest: int = 0
    time: list[str] | None = None
    reward: list[float] = field(default_factory=list)
    lengths: dict[int, int] = field(default_factory=dict)
    user: int = 0
    documents: int = 0
    items: int = 0
    candidates: str = ""
    propensities: str = ""
    propensity_check: dict[str, Any] | None = None
    held_out: dict[str, float] | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def refused_rows(self) -> int:
        """Rows refused, for whatever reason."""
        return sum(self.refused.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report as lines to print."""
        out = [
            f"{counted(self.rows, 'row')} of {counted(len(self.files), 'file')}: {counted(self.slates, 'slate')} in "
            f"{counted(self.episodes, 'episode')}, the longest of {counted(self.longest, 'step')}",
            f"{self.click_rate:.4g} clicks a slate, reward {self.reward[0]:.4g} to {self.reward[1]:.4g}; "
            f"{self.user} user features, {self.items:,} items, {self.documents} document features",
            f"candidates: {self.candidates}",
            f"propensities: {self.propensities}",
        ]
        if self.time:
            out.insert(1, f"from {self.time[0]} to {self.time[1]} (UTC)")
        if self.propensity_check:
            out.append(f"propensity check: {self.propensity_check['text']}")
        if self.held_out:
            listed = ", ".join(f"{name} {value:.4f}" for name, value in self.held_out.items())
            out.append(f"log-likelihood of a held-out slate: {listed}")
        out += self.refusal_lines() + [f"warning: {line}" for line in self.warnings]
        return out

    def refusal_lines(self) -> list[str]:
        """Return how many rows were refused, and why."""
        if not self.refused:
            return ["no row refused"]
        head = f"refused: {counted(self.refused_rows, 'row')} ({self.refused_rows / max(self.rows, 1):.2%})"
        rows = sorted(self.refused.items(), key=lambda item: -item[1])
        return [head, *(f"  {count:,} {reason} ({', '.join(self.examples[reason])})" for reason, count in rows)]


def counted(number: int, word: str) -> str:
    """Return a number of things, in words."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def moment_text(milliseconds: float) -> str:
    """Return a time as text."""
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds:g} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S")
