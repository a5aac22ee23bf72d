"""AWR (Peng et al. 2019): cloning weighted by the advantage under the best policy's values."""
