"""All that a training needs, imported by Ray's workers before they are asked for anything."""

from recsys_cli.config.imports import without_collection
from recsys_cli.runs.ray_private import quiet_logs

with without_collection():
    import ray  # noqa: F401

    quiet_logs()
    import recsys_cli.algos.rllib_algorithm
    import recsys_cli.algos.rllib_training
    import recsys_cli.runs.trial  # noqa: F401
