"""Greedy pCTR: the documents most likely to be clicked, RecSim's `GreedyPCTRAgent`."""
