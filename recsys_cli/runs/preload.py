"""All that a training needs, imported by Ray's workers before they are asked for anything."""

from recsys_cli.config.imports import without_collection

with without_collection():
    import recsys_cli.algos.rllib_algorithm
    import recsys_cli.algos.rllib_training
    import recsys_cli.runs.trial  # noqa: F401
