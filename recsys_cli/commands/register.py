"""Register a checkpoint as a version of a model in MLflow's registry.

The version is an MLflow model of the pyfunc flavour: mlflow.pyfunc.load_model("models:/slateq@champion") loads it
wherever recsys-cli is installed, and every command takes models:/slateq@champion as a checkpoint. A checkpoint that is
already registered keeps its version; the alias moves to it.

Examples:
    recsys register checkpoint=<run id> name=slateq alias=champion
    recsys register checkpoint=<run id>/last name=slateq
    recsys evaluate checkpoint=models:/slateq@champion
"""

from __future__ import annotations

import shlex
from pathlib import Path

from recsys_cli.config.compose import compose


def run(overrides: list[str]) -> int:
    """Resolve the checkpoint, register it, print its references.

    Raises:
        ConfigError: the request is invalid.
    """
    config = compose("register", overrides)
    from recsys_cli.tracking.references import resolve
    from recsys_cli.tracking.registering import register_checkpoint

    output_dir = Path(config.output_dir)
    folder = resolve(config.checkpoint, output_dir, config.tracking.uri)
    done = register_checkpoint(
        folder, name=config.name, alias=config.alias, uri=config.tracking.uri, output_dir=output_dir
    )
    print(f"{done.version} {'created' if done.new else 'already exists'}: {folder.name} of run {done.run_id}")
    if done.alias is not None:
        print(f"{done.alias} points at it" + (f", no longer at {done.before}" if done.before else ""))
    where = [f"output_dir={config.output_dir}"] if config.output_dir != "runs" else []
    where += [] if done.default_uri else [f"tracking.uri={done.uri}"]
    print(" ".join(["next: recsys evaluate", *map(shlex.quote, [f"checkpoint={done.alias or done.version}", *where])]))
    return 0
