"""Runs on Ray Tune: plan, folder, trials and seeds, progress, resuming."""

import os

# Read by Ray's workers, and by Ray at import, which comes after this in every module of this package.
QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this environment instead of building one with `uv run`
    "RAY_USAGE_STATS_ENABLED": "0",
    "RLLIB_TEST_NO_TF_IMPORT": "1",  # with TensorFlow installed RLlib would spend seconds importing it
    "RLLIB_TEST_NO_JAX_IMPORT": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the tracker keeps the metrics
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is handled by `stopping`
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "PYTHONWARNINGS": "ignore",
}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
