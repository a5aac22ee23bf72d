"""Search in the space of a network's weights, shared by evolution strategies and augmented random search."""
