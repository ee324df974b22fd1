"""Starts and interrupts processes, for tests."""

import signal


def heed_interrupts() -> None:
    """Before a program starts: what a shell starts in the background would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
