"""A child ends with its parent, even by `kill -9`: it reads a pipe that the parent holds open."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Ends this process by SIGTERM as soon as its standard input is closed."""
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin.read: its lock, held here, aborts the interpreter's exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)
