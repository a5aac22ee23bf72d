"""MARWIL (Wang et al. 2018): cloning weighted by the advantage under the behaviour's own values."""
