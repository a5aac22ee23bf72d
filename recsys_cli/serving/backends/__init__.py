"""Where a service's app runs: in this process, or on Ray Serve."""
