"""Results of runs: tables, plots, which axes mattered; and what commands print before and after."""
