"""Networks over one user and a set of candidates, shared by the algorithms."""
