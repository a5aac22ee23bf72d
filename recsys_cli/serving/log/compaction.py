"""Compaction: the log of a service becomes a data set that learning and judging read as it is.

An episode is a session, from its first decision to a report that was final, or to silence. A decision counts once,
under its first record, and if it was deferred only once it was activated. Reports count in any order, each reward id
once; a decision without one gets the router's default.

The data set has the propensity of the policy that decided (`propensity=policy`). A session stays with one policy and is
a sample of it: weighting by its own propensities is right for steps and sessions, whatever the router's shares were.
The slate's probability whichever policy had decided (`propensity=total`) makes the weights of single steps smaller (the
balance heuristic, Veach and Guibas 1995, section 3.2; for logs of several policies Agarwal et al. 2017, arXiv
1703.06180, section 4). It is wrong for sessions, whose probability is a mixture of products, not a product of mixtures.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.files import atomic_dir, locked
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.importing.rows import Rows
from recsys_cli.offline.importing.spill import load, save
from recsys_cli.offline.support import WHOLE_SLATES
from recsys_cli.offline.writer import Writer
from recsys_cli.serving.draws import seeds_of
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.assembling import Propensity, logged_spec, one_hot, rows_of, steps_of
from recsys_cli.serving.log.behaviours import Law, about_policies, keep_behaviour
from recsys_cli.serving.log.episodes import Episode, Terms, episodes_of
from recsys_cli.serving.log.joining import BUCKET_BYTES, Buckets, Entry, Joining, Spilled, entries_of
from recsys_cli.serving.log.ledger import Ledger
from recsys_cli.serving.log.reading import read_lines, segments
from recsys_cli.serving.log.records import ActivationRecord, Record, encode_lines


@dataclass
class Counts:
    """What became of a log's records.

    Attributes:
        decisions: written, that is rows.
        sessions: written.
        rewarded: decisions with a reward.
        defaulted: those without, which got the default.
        open: decisions of sessions that aren't over, left for the next compaction.
        inactive: deferred decisions that never counted.
        duplicates: records of decisions that were there already.
        late: reports of decisions that an earlier compaction had written.
        orphans: reports of no known decision.
        damaged: lines that hold no record.
    """

    decisions: int = 0
    sessions: int = 0
    rewarded: int = 0
    defaulted: int = 0
    open: int = 0
    inactive: int = 0
    duplicates: int = 0
    late: int = 0
    orphans: int = 0
    damaged: int = 0

    def lines(self) -> list[str]:
        """Return them in words."""
        written = f"{self.decisions:,} decisions in {self.sessions:,} sessions: {self.rewarded:,} with a reward"
        said = {
            "left in sessions that may go on": self.open,
            "deferred and never activated": self.inactive,
            "decided twice": self.duplicates,
            "reports too late": self.late,
            "reports of no known decision": self.orphans,
            "damaged lines": self.damaged,
        }
        return [
            f"{written}, {self.defaulted:,} with the default",
            "not written: " + ", ".join(f"{count:,} {what}" for what, count in said.items()),
        ]


@dataclass(frozen=True)
class Request:
    """How a log is to be compacted.

    Attributes:
        terms: see `Terms`.
        default: reward of a decision without one.
        propensity: which one the data set has.
        include_open: whether sessions that may go on are written too, as truncated.
        again: whether all that the log still holds is read, without regard to earlier compactions.
    """

    terms: Terms
    default: float
    propensity: Propensity
    include_open: bool
    again: bool


@dataclass
class _Found:
    """What the data set will hold.

    Attributes:
        saved: files of columns.
        laws: decisions by what they were drawn from.
        missing: those whose propensity isn't known.
        events: hashes of all events written or left out for good.
        times: theirs.
    """

    saved: list[Path] = field(default_factory=list)
    fewest: int = 1 << 62
    most: int = 0
    one_hot: bool = True
    laws: Counter[Law] = field(default_factory=Counter)
    missing: int = 0
    events: list[NDArray[np.uint64]] = field(default_factory=list)
    times: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, path: Path, columns: Rows) -> None:
        """Take the columns that a file has."""
        self.saved.append(path)
        self.fewest = min(self.fewest, int(columns["mask"].sum(1).min()))
        self.most = max(self.most, columns["mask"].shape[1])
        self.one_hot &= one_hot(columns["doc"], columns["mask"])
        self.missing += int(np.isnan(columns["log_propensity"]).any(1).sum())


def compact(
    service: ServiceFolder,
    spec: ProblemSpec,
    folder: Path,
    request: Request,
    *,
    bucket_bytes: int = BUCKET_BYTES,
    show: Callable[[str], None] = lambda line: None,
) -> tuple[Dataset, Counts]:
    """Make a data set of what a service has logged and no compaction has written yet.

    Memory doesn't grow with the log. A compaction that is killed has done nothing, or all of it.

    Args:
        service: whose log it is.
        spec: its problem.
        folder: of the data set, which is there whole or not at all.
        request: what is wanted.
        bucket_bytes: of the log in memory at once.
        show: gets a line at the start of each stage.

    Raises:
        ConfigError: no session is over, the folder exists, or another compaction is at work.
    """
    if folder.exists():
        raise ConfigError(f"name={folder.name}: {folder} is there already; give the data set another name or remove it")
    kept = service.path / "compacted"
    kept.mkdir(exist_ok=True)
    with locked(kept, wait=False) as alone:
        if not alone:
            raise ConfigError(f"log={service.path} is being compacted by another process")
        ledger = Ledger(kept) if request.again else Ledger.open(kept)
        with ExitStack() as stack, atomic_dir(folder) as whole:
            scratch = whole.with_name(f"{whole.name}-scratch")  # of a killed compaction, the next writer removes both
            scratch.mkdir()
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            run = _Compaction(service, spec, request, ledger, scratch, bucket_bytes, show)
            counts, found = run.read()
            run.write(whole, counts, found)
            keep_behaviour(service, found.laws, whole)
            if not request.again:
                events, times = np.concatenate(found.events), np.concatenate(found.times)
                ledger.begin(folder, run.offsets, run.carried, events, times, request.terms.now_ms)
        if not request.again:
            Ledger.open(kept)  # counts it as done
    return Dataset.open(folder), counts


@dataclass
class _Compaction:
    service: ServiceFolder
    spec: ProblemSpec
    request: Request
    ledger: Ledger
    scratch: Path
    bucket_bytes: int
    show: Callable[[str], None]

    def __post_init__(self) -> None:
        self.carried = self.scratch / "carried"
        self.offsets = dict(self.ledger.offsets)
        self.counts, self.found = Counts(), _Found()

    def read(self) -> tuple[Counts, _Found]:
        """Read and join the log."""
        unread = sum(path.stat().st_size - self.offsets.get(path.name, 0) for path in segments(self.service.log))
        before = self.ledger.carried.stat().st_size if self.ledger.carried.is_file() else 0
        self.show(f"reading {(unread + before) / 1e6:,.1f} MB")
        spilled = Spilled(Buckets(self.scratch / "events", unread + before, self.bucket_bytes))
        spilled.carry(entries_of(self.ledger.carried))
        spilled.add(read_lines(self.service.log, self.offsets))
        self.offsets |= spilled.ends
        self.show("joining rewards")
        sessions = Buckets(self.scratch / "sessions", spilled.buckets.bytes, self.bucket_bytes)
        counts, found = self.counts, self.found
        with self.carried.open("wb") as carried:
            joining = Joining(self.ledger.events, sessions, partial(self._keep_or_count, carried))
            for entries in spilled.buckets:
                joining.join(entries)
            for number, entries in enumerate(sessions):
                self._gather(number, entries, carried)
        counts.duplicates, counts.late, counts.damaged = joining.duplicates, joining.late, spilled.damaged.total()
        counts.defaulted = counts.decisions - counts.rewarded
        return counts, found

    def _keep_or_count(self, carried: IO[bytes], report: Entry) -> None:
        """Keep a report whose decision may still come; count any other."""
        terms = self.request.terms
        if self.request.again or report.time_ms <= terms.now_ms - terms.wait_ms:
            self.counts.orphans += 1
        else:
            report.write(carried)

    def _gather(self, number: int, entries: list[Entry], carried: IO[bytes]) -> None:
        """Take the episodes of a bucket that are over, and carry the others."""
        counts, found, terms = self.counts, self.found, self.request.terms
        done = list[Episode]()
        for episode in episodes_of(entries, terms):
            if self.request.include_open or (episode.over and episode.settled):
                done.append(episode)
                continue
            counts.open += len(episode.steps)
            for entry in _entries(episode):
                entry.write(carried)
        steps = [step for episode in done for step in episode.steps]
        active = [step for step in steps if step.joined.active]
        found.events.append(seeds_of(step.joined.decision.event_id for step in steps))
        found.times.append(np.array([step.time_ms for step in steps], np.int64))
        counts.inactive += len(steps) - len(active)
        counts.decisions += len(active)
        counts.rewarded += sum(step.outcome.value is not None for step in active)
        written = [episode for episode in done if any(step.joined.active for step in episode.steps)]
        counts.sessions += len(written)
        decisions = (step.joined.decision for step in active)
        found.laws.update((each.policy, each.version, each.explore) for each in decisions)
        if written:
            columns = rows_of(written, self.spec, self.request.propensity, self.request.default)
            found.add(save(self.scratch / f"rows-{number:04d}", columns), columns)

    def write(self, folder: Path, counts: Counts, found: _Found) -> None:
        """Write the data set."""
        if not found.saved:
            left = f"{counts.open:,} decisions are in sessions that may go on" if counts.open else "no new decisions"
            raise ConfigError(f"log={self.service.path}: no session to write: {left}; include_open=true writes those")
        self.show(f"writing {counts.decisions:,} decisions")
        spec = logged_spec(self.spec, fewest=found.fewest, most=found.most, one_hot=found.one_hot)
        writer = Writer(folder, spec, self._about(counts, found))
        for path in found.saved:
            writer.write(steps_of(load(path), spec, writer.episodes, propensities=not found.missing))
        writer.finish()

    def _about(self, counts: Counts, found: _Found) -> dict[str, Any]:
        terms, whole = self.request.terms, self.request.propensity == "total" and self.spec.slate_size > 1
        logged = {"policy": "logged, of the policy that decided", "total": "logged, whichever policy had decided"}
        numbering = {} if self.request.again else {"compaction": self.ledger.number + 1, "read": self.offsets}
        return {
            "source": "serve",
            "service": self.service.path.name,
            **about_policies(self.service, found.laws),
            "propensities": f"none: {found.missing:,} decisions have none"
            if found.missing
            else logged[self.request.propensity] + WHOLE_SLATES * whole,
            "aggregation": terms.aggregation,
            "default_reward": self.request.default,
            "until": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(terms.now_ms / 1e3)),
            "counts": asdict(counts),
            **numbering,
        }


def _entries(episode: Episode) -> Iterator[Entry]:
    """Return an episode's records, for the next compaction."""
    for step in episode.steps:
        decision = step.joined.decision
        records: list[Record] = [decision, *step.joined.reports]
        if step.joined.active and not decision.active:
            records.append(ActivationRecord(event_id=decision.event_id, time_ms=step.time_ms))
        for line in encode_lines(records).splitlines():
            yield Entry(step.time_ms, 0, line)
