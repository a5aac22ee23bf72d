"""Removing files of a log whose records are in data sets."""

from __future__ import annotations

from recsys_cli.files import locked
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.ledger import Ledger
from recsys_cli.serving.log.reading import lines_of, segments
from recsys_cli.serving.router.folding import offsets
from recsys_cli.serving.router.store import Store, url_of


def remove_compacted(service: ServiceFolder) -> int:
    """Remove the files that are in data sets to their ends, that the router has read, and that have no writer.

    Returns:
        How many.

    Raises:
        ConfigError: the router's database is another service's.
        sqlalchemy.exc.SQLAlchemyError: it cannot be reached.
    """
    store = Store(url_of(service.config().router.state, service.state), service.path.name)
    with store.transaction() as connection:
        folded = offsets(connection)
    store.close()
    compacted, removed = Ledger.open(service.path / "compacted").offsets, 0
    for path in segments(service.log):
        done = min(compacted.get(path.name, -1), folded.get(path.name, -1))
        with locked(path, wait=False) as free:
            if free and done >= 0 and next(lines_of(path, done), None) is None:
                path.unlink()
                removed += 1
    return removed
