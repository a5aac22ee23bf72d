"""The import of one log: read, group, check, describe, write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli import __version__
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import to_plain
from recsys_cli.files import atomic_dir, write_json
from recsys_cli.offline.dataset import Dataset, digest
from recsys_cli.offline.importing import estimated
from recsys_cli.offline.importing.assembling import Assembler, kept
from recsys_cli.offline.importing.items import known_codes, read_items
from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.propensities import Reading, Sample, check
from recsys_cli.offline.importing.readers import Reader, format_of
from recsys_cli.offline.importing.refusals import Reasons, Refusals
from recsys_cli.offline.importing.report import REPORT, Report, counted, moment_text
from recsys_cli.offline.importing.rows import RowReader
from recsys_cli.offline.importing.slates import Slates, cut_broken, gather
from recsys_cli.offline.importing.spill import Spill, load, save
from recsys_cli.offline.importing.summary import Problem, Summary, problem_of
from recsys_cli.offline.importing.validation import Checks, present
from recsys_cli.offline.steps import Steps, concatenate
from recsys_cli.offline.support import WHOLE_SLATES
from recsys_cli.offline.writer import Writer

IDS = "item_ids.json"
EARLIEST = 631_152_000_000  # ms since 1970 of 1990: no log is older


def import_log(
    mapping: Mapping,
    files: list[Path],
    folder: Path,
    *,
    beside: Path = Path(),
    rows_in_memory: int = 500_000,
    show: Callable[[str], None] = lambda line: None,
) -> tuple[Dataset, Report]:
    """Make a data set of a log.

    Args:
        mapping: which column is what.
        files: of the log.
        folder: of the data set, which is there whole or not at all.
        beside: where the items' file is looked for first; then beside the log.
        rows_in_memory: about how many rows are held at once.
        show: gets a line at the start of each stage.

    Raises:
        ConfigError: a file, a column or the log as a whole is not what the mapping says.
    """
    if folder.exists():
        raise ConfigError(f"name={folder.name}: {folder} is there already; give the data set another name or remove it")
    with atomic_dir(folder) as whole:
        scratch = whole.with_name(f"{whole.name}-scratch")  # of a killed import, both are removed by the next writer
        scratch.mkdir()
        try:
            report = _Import(mapping, files, beside, whole, scratch, rows_in_memory, show).run(folder.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Dataset.open(folder), report


@dataclass
class _Import:
    mapping: Mapping
    files: list[Path]
    beside: Path
    folder: Path
    scratch: Path
    rows_in_memory: int
    show: Callable[[str], None]

    def run(self, name: str) -> Report:
        self.items = read_items(self.mapping, [self.beside, self.files[0].parent])
        self.reasons = Reasons()
        self.refusals = Refusals(self.scratch, self.files, self.reasons)
        self.report = Report([str(file) for file in self.files])
        self.summary, self.sample = Summary(), Sample()
        self.reader = RowReader(self.mapping, known_codes(self.mapping, self.items), self.reasons)
        self.dense = self.mapping.candidates.width or 0
        try:
            spill = self._read()
            saved = self._check(spill)
        finally:
            self.refusals.close()
        self._judge()
        problem = problem_of(name, self.mapping, self.summary, self.reader, self.items, self.dense)
        self._check_propensities(problem)
        self._write(problem, saved)
        write_json(self.folder / REPORT, self.report.to_dict())
        return self.report

    def _read(self) -> Spill:
        spill = Spill(self.scratch, self.rows_in_memory)
        readers = [Reader(file, format_of(file, self.mapping.format), self.mapping.delimiter) for file in self.files]
        named = [self.reader.columns(reader) for reader in readers]  # all headers are checked before anything is read
        for number, (reader, columns) in enumerate(zip(readers, named, strict=True)):
            self.show(f"reading {reader.path}")
            wanted = list(dict.fromkeys(column for listed in columns.values() for column in listed))
            for batch in reader.batches(number, wanted):
                for line, why in batch.damaged:
                    self.refusals.one(f"damaged line: {why}", number, line)
                spill.add(self.reader.read(batch, columns))
        self.report.rows = spill.rows + self.refusals.total
        if not spill.rows:
            raise ConfigError(f"data={', '.join(map(str, self.files))}: no row could be read")
        return spill

    def _check(self, spill: Spill) -> list[Path]:
        """Check all slates, add up what they hold, and keep the good ones on disk."""
        self.show(f"checking {spill.rows:,} rows")
        saved: list[Path] = []
        by_day = self.mapping.candidates.otherwise == "day"
        for rows in spill.groups():
            slates = gather(rows, self.mapping, self.reasons)
            checked = Checks(self.mapping, self.reasons, self.dense)(slates)
            if self.mapping.broken_sessions == "cut":
                cut_broken(slates, self.reasons)
            self.report.disordered += slates.disordered
            self.refusals.add(slates.reasons(self.reasons), slates.rows["source"], slates.rows["line"])
            self._sample(slates, checked.lengths)
            columns = kept(slates, checked)
            if len(columns["step"]):
                self.summary.add(columns, self.dense, by_day)
                saved.append(save(self.scratch / f"slates-{len(saved):06d}", columns))
        return saved

    def _sample(self, slates: Slates, lengths: Any) -> None:
        cells = slates.columns.get("propensity")
        if cells is None:
            return
        candidates = slates.columns.get("candidates")
        count = np.zeros(len(lengths), np.int64)
        if candidates is not None:
            count = present(candidates, self.dense).sum(1)
        by_propensity = [self.reasons.texts.index(text) for text in self.reasons.texts if "propensity" in text]
        known = np.isin(slates.columns["reason"], [0, *by_propensity]) & slates.columns["valid"]
        self.sample.add((cells if cells.ndim > 1 else cells[:, None])[known], lengths[known], count[known])

    def _judge(self) -> None:
        """Refuse a log of which too much was refused; say first what its propensities look like."""
        self.report.refused, self.report.examples = dict(self.refusals.counts), self.refusals.examples
        share = self.refusals.total / max(self.report.rows, 1)
        if share <= self.mapping.max_refused and self.summary.slates:
            return
        reason, count = self.refusals.counts.most_common(1)[0]
        hint = ""
        if "propensity" in reason and self.mapping.propensity is not None:
            verdict = check(self.sample, self.mapping.propensity, int(self.summary.items.sum()))
            hint = f"; {verdict.text}" if verdict.kind in ("wrong", "off") else ""
        raise ConfigError(
            f"{self.refusals.total:,} of {self.report.rows:,} rows are refused ({share:.1%}), more than max_refused="
            f"{self.mapping.max_refused:g}. Most often: {reason} ({count:,} rows, such as "
            f"{', '.join(self.refusals.examples[reason])}){hint}"
        )

    def _check_propensities(self, problem: Problem) -> None:
        how = self.mapping.propensity
        if how is None:
            return
        verdict = check(self.sample, how, problem.spec.width)
        if verdict.kind == "wrong" and how.check:
            raise ConfigError(
                f"propensity.columns={how.columns} are no {Reading(how.scale, how.of).words()}: {verdict.text}; or set "
                "propensity.check=false"
            )
        self.report.propensity_check = asdict(verdict)
        if verdict.kind != "ok":
            self.report.warnings.append(f"propensities: {verdict.text}")

    def _write(self, problem: Problem, saved: list[Path]) -> None:
        assembler = Assembler(self.mapping, problem, self.summary.several > 0, self.dense)
        model = None
        if self.mapping.propensity is None and not self._only_shown():
            self.show("estimating propensities")
            model = estimated.estimate(self._some(saved, assembler), problem.spec)
            self.report.held_out = model.held_out
        self._describe(problem, model)
        self.show(f"writing {self.summary.slates:,} slates")
        writer = Writer(self.folder, problem.spec, self._about(problem))
        for path in saved:
            steps = assembler(load(path), writer.episodes)
            if model is not None:
                steps.log_propensity = model.log_propensity(steps)
            writer.write(steps)
        if problem.ids:
            (self.folder / IDS).write_text(json.dumps(problem.ids), encoding="utf-8")
        writer.finish()
        if self.refusals.total:
            self.refusals.path.replace(self.folder / self.refusals.path.name)

    def _only_shown(self) -> bool:
        return self.mapping.candidates.columns is None and self.mapping.candidates.otherwise == "slate"

    def _some(self, saved: list[Path], assembler: Assembler) -> Steps:
        """Return a sample of whole episodes from all groups."""
        share, parts = max(estimated.SAMPLE // len(saved), 1), []
        for path in saved:
            steps = assembler(load(path, keep=True), 0)
            chosen = np.linspace(0, len(steps.starts) - 1, max(1, len(steps.starts) * share // len(steps))).astype(int)
            parts.append(steps.episodes(np.unique(chosen)) if len(steps) > share else steps)
        return concatenate(parts)

    def _describe(self, problem: Problem, model: estimated.Estimated | None) -> None:
        report, summary, spec = self.report, self.summary, problem.spec
        report.slates, report.episodes = summary.slates, summary.episodes
        report.click_rate = summary.clicks / summary.slates
        report.several_clicks, report.longest, report.gaps = summary.several, summary.longest, summary.gaps
        report.reward = [float(summary.reward.low[0]), float(summary.reward.high[0])]
        report.lengths = dict(sorted(summary.lengths.items()))
        report.user, report.documents, report.items = len(spec.user), len(spec.documents), int(summary.items.sum())
        if self.mapping.time is not None:
            report.time = [moment_text(summary.time.low[0]), moment_text(summary.time.high[0])]
        report.candidates = self._candidates(problem)
        if model is not None:
            report.propensities = f"estimated: {model.model.name} (the log has none)"
            report.warnings.append("propensities are estimated: what is computed with them is as good as their model")
        elif self.mapping.propensity is None:
            report.propensities = "none: of candidates that are only what was shown, none can be estimated"
            report.warnings.append("without propensities and candidates nothing but what was shown can be judged")
        else:
            of_slates = self.mapping.propensity.of == "slate" and spec.slate_size > 1
            report.propensities = "logged" + WHOLE_SLATES * of_slates
        report.warnings += list(self._warnings(problem))

    def _candidates(self, problem: Problem) -> str:
        how, spec = self.mapping.candidates, problem.spec
        fewest = spec.width if spec.min_candidates is None else spec.min_candidates
        size = f"{spec.width}" if fewest == spec.width else f"{fewest} to {spec.width}"
        where = {
            "log": "all items shown in the log, since it does not say what was offered",
            "day": "all items shown on the same day (UTC), since the log does not say what was offered",
            "slate": "only the items shown, since the log does not say what was offered",
        }
        return f"{size}, " + ("as logged" if how.columns is not None else where[how.otherwise])

    def _warnings(self, problem: Problem) -> Iterator[str]:
        summary, report = self.summary, self.report
        if self.mapping.time is not None and summary.time.high[0] < EARLIEST:
            yield f"all times are before {moment_text(EARLIEST)}: is time_unit={self.mapping.time_unit} right?"
        if report.disordered:
            order = self.mapping.step or self.mapping.time
            yield f"{counted(report.disordered, 'slate')} out of order in the file; sorted by {order}"
        if summary.gaps:
            yield f"{counted(summary.gaps, 'gap')} in episodes, where rows are missing; nothing is learned across them"
        if len(summary.lengths) > 1:
            most = max(summary.lengths)
            short = sum(count for length, count in summary.lengths.items() if length < most)
            yield f"{counted(short, 'slate')} with fewer than {most} documents"
        if summary.several:
            assert self.mapping.clicks is not None
            which = self.mapping.clicks.several
            yield f"{counted(summary.several, 'slate')} with several clicks: the {which} one counts"
        if not summary.clicks:
            yield "there is no click in this log"

    def _about(self, problem: Problem) -> dict[str, Any]:
        how = self.report.propensities
        return {
            "source": "import",
            "behaviour": "unknown",
            "explore": "unknown",
            "candidates": self.report.candidates,
            "propensities": how,
            "mapping": to_plain(self.mapping, Mapping),
            "files": [{"file": str(path), "bytes": path.stat().st_size, "sha256": digest(path)} for path in self.files],
            "versions": {"recsys-cli": __version__, "numpy": np.__version__},
        }
