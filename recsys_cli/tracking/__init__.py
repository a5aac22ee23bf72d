"""Records of runs: journal, checkpoint bundles, MLflow, and finding them again."""
