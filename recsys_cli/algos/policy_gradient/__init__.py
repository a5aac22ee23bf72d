"""Policy gradients on the vectorised runner: the slate module, its distribution and batches that algorithms share."""
