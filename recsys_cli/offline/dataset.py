"""A data set of logged env steps on disk.

dataset.yaml         format, the problem's spec, how it was logged, parts with their counts and digests
part-00000.parquet   whole episodes, sorted by episode and step (columns: see `layout`)
items.npy            features of the items that document numbers stand for, if any
behaviour/           checkpoint of the policy that logged, if `recsys record` played one
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.layout import from_table
from recsys_cli.offline.steps import Steps, concatenate

FORMAT = 1
MANIFEST = "dataset.yaml"
ITEMS = "items.npy"
BEHAVIOUR = "behaviour"
BATCH_ROWS = 65_536


class NoDataError(ConfigError):
    """There is no data set at a place."""


@dataclass(frozen=True)
class Part:
    """One Parquet file of a data set.

    Attributes:
        file: its name.
        rows: in it.
        steps: rows that are env steps.
        episodes: in it, whole.
        bytes: its size.
        sha256: its digest.
    """

    file: str
    rows: int
    steps: int
    episodes: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A data set, open for reading.

    Attributes:
        folder: where it is.
        spec: the problem as the log knows it.
        about: how it was logged: `behaviour`, `explore`, `env`, `seed`, `versions` and so on.
        parts: its files.
        complete: whether its writer ended.
    """

    folder: Path
    spec: ProblemSpec
    about: dict[str, Any]
    parts: tuple[Part, ...]
    complete: bool

    @classmethod
    def open(cls, folder: Path, *, unfinished: bool = False) -> Dataset:
        """Read a data set's description.

        Args:
            folder: of the data set.
            unfinished: whether it may be incomplete.

        Raises:
            ConfigError: there is none, or it is damaged, incomplete or of another format.
        """
        values = _manifest(folder)
        try:
            items = np.load(folder / ITEMS, allow_pickle=False) if (folder / ITEMS).is_file() else None
            spec = ProblemSpec.from_dict(values["spec"], items)
            parts = tuple(Part(**part) for part in values["parts"])
            dataset = cls(folder, spec, dict(values["about"]), parts, bool(values["complete"]))
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ConfigError(f"data set {folder} is damaged: {MANIFEST}: {one_line(error)}") from None
        if not (dataset.complete or unfinished):
            raise ConfigError(
                f"data set {folder} is incomplete ({dataset.episodes:,} episodes): run the command that writes it again"
            )
        for part in parts:
            path = folder / part.file
            if not path.is_file() or path.stat().st_size != part.bytes:
                raise ConfigError(
                    f"data set {folder} is damaged: {part.file} is missing or not of {part.bytes:,} bytes"
                )
        return dataset

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def steps(self) -> int:
        """Env steps of all parts."""
        return sum(part.steps for part in self.parts)

    @property
    def episodes(self) -> int:
        """Episodes of all parts."""
        return sum(part.episodes for part in self.parts)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Steps]:
        """Yield all rows in order, whole episodes at a time.

        Args:
            rows: about how many at a time; an episode that is longer comes whole.

        Raises:
            ConfigError: a part is damaged.
        """
        import pyarrow.parquet as pq
        from pyarrow import ArrowException

        for part in self.parts:
            left: Steps | None = None
            try:
                with pq.ParquetFile(self.folder / part.file) as file:
                    for batch in file.iter_batches(batch_size=rows):
                        steps = from_table(batch, self.spec)
                        steps = steps if left is None else concatenate([left, steps])
                        whole = int(steps.starts[-1])  # the last episode may go on
                        left = steps.take(slice(whole, None))
                        if whole:
                            yield steps.take(slice(whole))
            except (ArrowException, OSError, ConfigError) as error:
                raise ConfigError(f"data set {self.folder} is damaged: {part.file}: {one_line(error)}") from None
            if left is not None:
                yield left

    def load(self) -> Steps:
        """Return all rows at once.

        Raises:
            ConfigError: there are none, or a part is damaged.
        """
        parts = list(self.batches(rows=1 << 20))
        if not parts:
            raise ConfigError(f"data set {self.folder} is empty")
        return concatenate(parts)

    def verify(self) -> None:
        """Compare every file with its digest.

        Raises:
            ConfigError: a file was changed.
        """
        for part in self.parts:
            if digest(self.folder / part.file) != part.sha256:
                raise ConfigError(f"data set {self.folder} is damaged: {part.file} is not what was written")


def find(reference: str, data_dir: str = "data") -> Path:
    """Return the folder of a data set named by its path, or by its name in `data_dir`.

    Raises:
        NoDataError: there is none.
    """
    for folder in (Path(reference), Path(data_dir) / reference):
        if (folder / MANIFEST).is_file():
            return folder
    there = sorted(path.parent.name for path in Path(data_dir).glob(f"*/{MANIFEST}"))
    near = closest(reference, there)
    listed = f"; data sets in {data_dir}: {', '.join(there[:10])}" if there else ""
    raise NoDataError(f"data={reference} is no data set: it has no {MANIFEST}{listed}{near and '.' + near}")


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder} is not a data set: it has no {MANIFEST}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"data set {folder} is damaged: {MANIFEST}: {one_line(error)}") from None
    version = values.get("format") if isinstance(values, dict) else None
    if version != FORMAT:
        raise ConfigError(f"data set {folder} has format {version}; this version reads format {FORMAT}")
    return dict(values)
