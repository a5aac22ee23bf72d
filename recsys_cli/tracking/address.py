"""The MLflow tracking URI and where its artifacts go."""

from __future__ import annotations

import re
from pathlib import Path

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.tracking.provenance import mask

ARTIFACTS = "mlartifacts"
_ANY, _HOST = re.compile(".*"), re.compile("://[^/].*")
_FORMS = {
    "sqlite": re.compile("(:///.*[^/])"),
    **dict.fromkeys(("http", "https", "postgresql", "mysql", "mssql"), _HOST),
}
_SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks", "file")


def resolved_uri(uri: str | None, output_dir: Path) -> str:
    """Return the tracking URI, `sqlite:///<output_dir>/mlflow.db` for None; a SQLite path is made absolute."""
    if uri is None:
        return f"sqlite:///{Path(output_dir).resolve() / 'mlflow.db'}"
    path = sqlite_path(uri)
    return uri if path is None else f"sqlite:///{path.resolve()}"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a `sqlite:///` URI, None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def stored_uri(uri: str, output_dir: Path) -> str:
    """Return a resolved URI as it is kept in a run's folder, credentials masked.

    A SQLite file in `output_dir` is named by its path there, so that it is found again wherever that is moved.
    """
    path, folder = sqlite_path(uri), Path(output_dir).resolve()
    if path is None or not path.is_relative_to(folder):
        return mask(uri)
    return f"sqlite:///{path.relative_to(folder)}"


def recalled_uri(stored: str, output_dir: Path) -> str:
    """Return the URI that `stored_uri` kept, for the `output_dir` of now."""
    path = sqlite_path(stored)
    return stored if path is None else f"sqlite:///{Path(output_dir).resolve() / path}"


def check_uri(uri: str, key: str = "tracking.uri") -> None:
    """Refuse an address that is not an MLflow store's, before training starts.

    Args:
        uri: the address.
        key: the setting that named it.

    Raises:
        ConfigError: unknown scheme, or one without the path or host that it needs.
    """
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.partition("+")[0]
    if scheme in _SCHEMES and not _FORMS.get(scheme, _ANY).fullmatch(colon + rest):
        form = "sqlite:///<path>" if scheme == "sqlite" else f"{scheme}://<host>"
        raise ConfigError(f"{key}={mask(uri)!r} is not an MLflow address: write {form}")
    if (path := sqlite_path(uri)) is not None and path.is_dir():
        raise ConfigError(f"{key}={mask(uri)!r} is a folder: write sqlite:///<path of a file>")
    if scheme not in _SCHEMES:
        near = closest(scheme, _SCHEMES)
        raise ConfigError(
            f"{key}={mask(uri)!r} is not an MLflow address: it must begin with one of "
            f"{', '.join(f'{name}:' for name in _SCHEMES)}{near and '.' + near}"
        )


def artifact_location(uri: str, output_dir: Path) -> str | None:
    """Return where a new experiment keeps artifacts: `mlartifacts` beside a SQLite file, else in `output_dir`.

    None if a server decides.
    """
    if uri.startswith(("http:", "https:", "databricks")):
        return None
    path = sqlite_path(uri)
    folder = output_dir if path is None else path.parent
    return (folder.resolve() / ARTIFACTS).as_uri()
