"""Ctrl-C and SIGTERM: a command ends within five seconds, and says how to go on.

Both raise KeyboardInterrupt where the command is, so that it leaves in order. Python does that between two steps of its
own; where one of them takes long, as inside a library, a thread that was woken by the signal itself ends the process.
Nothing is lost by that: whatever is written is whole or not there.
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

PATIENCE = 4.0  # seconds to leave in order
HOW_TO_GO_ON = {
    "record": "Interrupted: whole blocks of episodes are kept. Run the same command again to go on.",
    "train": "Interrupted: log and checkpoints are kept. Run the same command again to go on from the newest "
    "checkpoint (--checkpoint-every says how often there is one).",
    "distil": "Interrupted: log and checkpoints are kept. Run the same command again to go on from the newest "
    "checkpoint (--checkpoint-every says how often there is one).",
    "bench": "Interrupted: finished pieces and checkpoints are kept. Run the same command again to go on.",
    "import": "Interrupted: nothing was put in its place. Run the same command again.",
    "export": "Interrupted: nothing was put in its place. Run the same command again.",
    "ope": "Interrupted: nothing is lost. Run the same command again.",
    "eval": "Interrupted: nothing is lost. Run the same command again.",
    "serve": "No longer serving.",
    "explain": "Interrupted: nothing is lost. Run the same command again.",
}
"""what is said, by command"""


class Interruption:
    """What came of a command that may be interrupted.

    Args:
        sentence: what to say.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.signal: int | None = None
        self._said = threading.Lock()

    @property
    def code(self) -> int | None:
        """How the process ends: 130 after Ctrl-C, 143 after SIGTERM; None where it was not interrupted."""
        return None if self.signal is None else 128 + self.signal

    def say(self) -> None:
        """Says it once on standard error; only in the first of several processes that torchrun started."""
        if self._said.acquire(blocking=False) and os.environ.get("RANK", "0") == "0":
            try:
                sys.stderr.write(f"{self.sentence}\n")
                sys.stderr.flush()
            except (OSError, ValueError):  # nobody is there to read it
                pass


@contextmanager
def heeded(command: str, to_the_end: bool) -> Iterator[Interruption]:
    """In the block both signals raise KeyboardInterrupt, once; four seconds later the process is ended.

    Other threads than the main one have no signals, and a signal that is ignored stays so.

    Args:
        command: the name of the command.
        to_the_end: whether the four seconds count on after the block, to the end of the process.
    """
    interruption = Interruption(HOW_TO_GO_ON.get(command, "Interrupted."))
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)  # leaving in order is not interrupted again
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
    """Waits for a signal, and ends the process where it has not ended by itself in time."""
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
