"""What `recsys` and `python -m recsys_cli` run."""

import signal

# Ctrl-C ends the process at once: Python would first let the library that is being imported finish, or even handle the
# exception. A training, which has something to save, changes that while it lasts.
signal.signal(signal.SIGINT, signal.SIG_DFL)


def entry() -> None:
    """Run this process's command line, and end the process."""
    import os

    # More threads gain nothing on small matrices, and sums would depend on the machine's cores; a training's torch has
    # `resources.threads`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from recsys_cli.cli import main

    _end(main())


def _end(code: int) -> None:
    """End at once: Python would take half a second to unload everything, and abort if a thread is in C++."""
    import atexit
    import os
    import sys
    import threading
    from contextlib import suppress

    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):  # the reader, such as `| head`, has closed the pipe
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
