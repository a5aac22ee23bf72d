"""Writing a data set: one whole part after another, so that a killed writer loses only the part at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.files import locked, replacing, write_text
from recsys_cli.offline.dataset import FORMAT, ITEMS, MANIFEST, Dataset, Part, digest
from recsys_cli.offline.layout import to_table
from recsys_cli.offline.steps import Steps


class Writer:
    """Writes parts `part-00000.parquet`, ... and the description of those that are whole.

    Attributes:
        parts: written so far, also by an earlier process.
    """

    def __init__(self, folder: Path, spec: ProblemSpec, about: Mapping[str, Any]) -> None:
        """Begin a data set, or continue an incomplete one that is about the same.

        Args:
            folder: of the data set.
            spec: the problem.
            about: how it is logged, in plain values.

        Raises:
            ConfigError: the folder holds something else.
        """
        self.folder, self.spec, self.about = folder, spec, dict(about)
        self.parts: list[Part] = []
        if (folder / MANIFEST).is_file():
            before = Dataset.open(folder, unfinished=True)
            if before.complete:
                raise ConfigError(f"data set {folder} is complete: give the new one another name")
            if differs := self._differing(before):
                raise ConfigError(f"data set {folder} was begun with another {differs}: give the new one another name")
            self.parts = list(before.parts)
            return
        if folder.is_dir() and not all(path.name == ITEMS or path.name.startswith(".") for path in folder.iterdir()):
            raise ConfigError(f"{folder} is not empty, and no data set: give the new one another name")
        if spec.documents.items is not None:
            with replacing(folder / ITEMS) as temporary, temporary.open("wb") as file:
                np.save(file, spec.documents.items)
        self._describe(complete=False)

    def _differing(self, before: Dataset) -> str:
        """Return the first setting in which an earlier begin differs."""
        was, now = ({**each.about, "problem": each.spec.to_dict()} for each in (before, self))
        return next((name for name in {**was, **now} if was.get(name) != now.get(name)), "")

    @property
    def episodes(self) -> int:
        """Episodes written so far."""
        return sum(part.episodes for part in self.parts)

    def write(self, steps: Steps) -> None:
        """Write whole episodes as the next part."""
        import pyarrow.parquet as pq

        path = self.folder / f"part-{len(self.parts):05d}.parquet"
        with replacing(path) as temporary:
            pq.write_table(
                to_table(steps, self.spec),
                temporary,
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=False,
            )
        sizes = {"rows": len(steps), "steps": steps.num_steps, "episodes": len(steps.starts)}
        self.parts.append(Part(path.name, **sizes, bytes=path.stat().st_size, sha256=digest(path)))
        self._describe(complete=False)

    def finish(self, **about: Any) -> Dataset:
        """End the data set, adding to what it is about, and open it."""
        self.about |= about
        self._describe(complete=True)
        return Dataset.open(self.folder)

    def _describe(self, *, complete: bool) -> None:
        values = {
            "format": FORMAT,
            "complete": complete,
            "rows": sum(part.rows for part in self.parts),
            "steps": sum(part.steps for part in self.parts),
            "episodes": self.episodes,
            "about": self.about,
            "spec": self.spec.to_dict(),
            "parts": [asdict(part) for part in self.parts],
        }
        write_text(self.folder / MANIFEST, yaml.safe_dump(values, sort_keys=False, width=120))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let no other process write to a data set's folder, which is made.

    Raises:
        ConfigError: another is writing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=False) as alone:
        if not alone:
            raise ConfigError(f"data set {folder} is being written by another process")
        yield
