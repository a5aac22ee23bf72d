"""Extract the Open Bandit Dataset's sample from the source archive of `obp` 0.4.1, with its licence.

    pip download --no-deps --no-binary obp obp==0.4.1 -d data/open_bandit
    uv run python -m experiments.open_bandit.extract data/open_bandit/obp-0.4.1.tar.gz

Nothing is installed and nothing of the package is run. Writes `data/open_bandit/raw/<policy>/<campaign>/` with the log
and `item_context.csv`, `raw/LICENSE`, and `prior_bts.yaml`, the Beta priors of the Thompson policy.
"""

from __future__ import annotations

import argparse
import re
import tarfile
from pathlib import Path

from recsys_cli.files import replacing

WANTED = (
    (re.compile(r"[^/]+/obp/dataset/obd/(\w+/\w+/\w+\.csv)"), "raw/{}"),
    (re.compile(r"[^/]+/(LICENSE)"), "raw/{}"),
    (re.compile(r"[^/]+/obp/policy/conf/(prior_bts\.yaml)"), "{}"),
)


def extract(archive: Path, folder: Path) -> list[Path]:
    """Extract the sample; return the files written."""
    written = []
    with tarfile.open(archive) as tar:
        for member in tar:
            for pattern, place in WANTED:
                source = tar.extractfile(member) if (match := pattern.fullmatch(member.name)) else None
                if match is not None and source is not None:
                    path = folder / place.format(match[1])
                    with replacing(path) as temporary:
                        temporary.write_bytes(source.read())
                    written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--to", type=Path, default=Path("data/open_bandit"))
    arguments = parser.parse_args()
    for path in extract(arguments.archive, arguments.to):
        print(path)
