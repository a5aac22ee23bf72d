"""Trainings as Ray Tune runs: the run folder, the trial, progress, resuming."""
