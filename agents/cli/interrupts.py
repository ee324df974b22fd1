"""Handles Ctrl-C and SIGTERM: a command ends within five seconds, and says how to continue.

Both signals raise KeyboardInterrupt in the main thread, so that the command cleans up and ends. Python raises it only
between two of its own instructions. If the command is still running four seconds later, for example inside a library, a
thread that the signal has woken ends the process. No file is damaged by that, because every file is written beside its
place and then renamed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE = 4.0  # seconds that a command has to clean up
HOW_TO_GO_ON = {
    "record": "Interrupted: whole blocks of episodes are kept. Run the same command again to go on.",
    "train": "Interrupted: log and checkpoints are kept. Run the same command again to go on from the newest "
    "checkpoint (--checkpoint-every says how often there is one).",
    "distil": "Interrupted: log and checkpoints are kept. Run the same command again to go on from the newest "
    "checkpoint (--checkpoint-every says how often there is one).",
    "bench": "Interrupted: finished pieces and checkpoints are kept. Run the same command again to go on.",
    "import": "Interrupted: no output was written. Run the same command again.",
    "export": "Interrupted: no output was written. Run the same command again.",
    "ope": "Interrupted: nothing is lost. Run the same command again.",
    "eval": "Interrupted: nothing is lost. Run the same command again.",
    "serve": "No longer serving.",
    "explain": "Interrupted: nothing is lost. Run the same command again.",
}
"""what is printed after an interruption, by command"""


class Interruption:
    """Whether and how a command was interrupted.

    Args:
        sentence: the text to print if it was.

    Attributes:
        signal: the number of the signal, or None.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.signal: int | None = None
        self._said = threading.Lock()

    @property
    def code(self) -> int | None:
        """The exit status: 130 after Ctrl-C, 143 after SIGTERM, None without an interruption."""
        return None if self.signal is None else 128 + self.signal

    def say(self) -> None:
        """Prints the sentence on standard error, once; of the processes of torchrun only the first one prints it."""
        if self._said.acquire(blocking=False) and os.environ.get("RANK", "0") == "0":
            try:
                sys.stderr.write(f"{self.sentence}\n")
                sys.stderr.flush()
            except (OSError, ValueError):  # standard error is closed
                pass


@contextmanager
def heeded(command: str, to_the_end: bool) -> Iterator[Interruption]:
    """In the block, the first signal raises KeyboardInterrupt; four seconds later the process is ended.

    It has no effect outside of the main thread, because only the main thread gets signals. A signal that is ignored
    stays ignored.

    Args:
        command: the name of the command.
        to_the_end: whether the process is ended four seconds after the signal even if it has left the block by then.
    """
    interruption = Interruption(HOW_TO_GO_ON.get(command, "Interrupted."))
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)  # the clean-up is not interrupted
        interruption.signal = number
        raise KeyboardInterrupt

    left = threading.Event()
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    wakened = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, stop) for number in heard}
    threading.Thread(target=_end, args=(interruption, woken, heard, left), daemon=True).start()
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(wakened)
        if interruption.signal is None or not to_the_end:
            left.set()
            for number, handler in before.items():
                signal.signal(number, handler)
        waking.close()


def _end(interruption: Interruption, woken: socket.socket, heard: list[Any], left: threading.Event) -> None:
    """Waits for a signal, and ends the process if it does not end by itself in time."""
    with woken:
        while (number := int.from_bytes(woken.recv(1), "little")) not in heard:
            if number == 0:  # the other end was closed
                return
    if left.wait(PATIENCE):
        return
    interruption.say()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)
