"""Item-wise values from logged data, and what is learned with them: shared by MARWIL, AWR, CQL and IQL."""
