"""What a run leaves behind: journal, checkpoint bundles, MLflow, and finding them again."""
