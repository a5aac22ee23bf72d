"""What runs found: results, tables, plots, what mattered; and what commands print before and after."""
