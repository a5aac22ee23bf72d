"""Stands in for an agent of Ray, which Ray insists on starting: waits until the raylet, its parent, has ended."""

import os
import time

if __name__ == "__main__":
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
