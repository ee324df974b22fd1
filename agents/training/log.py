"""The log of a training run: JSON lines, TensorBoard, and a progress bar."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from datasets_builders.atomic import tell_full_disk, write_text
from datasets_builders.claim import Place
from lang_envs import progress

Row = dict[str, float]
LOG = "metrics.jsonl"


class Log:
    """Appends metrics to ``out/metrics.jsonl``; it does nothing if ``out`` is None.

    ``start`` is the step from which the run continues. Rows of later steps are deleted, because those steps are made
    again.

    Raises:
        ValueError: a line of the log is damaged.
    """

    def __init__(self, out: str | Path | None, tensorboard: bool, start: int, stack: ExitStack) -> None:
        self._place: Place | None = None
        if out is None:
            return
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        path = out / LOG
        kept = [line for row, line in _lines(path) if row["step"] <= start]
        write_text(path, b"".join(kept).decode())
        self._file = stack.enter_context(path.open("ab", buffering=0))
        self._place = Place(path)
        stack.callback(self._place.close)
        self._board = _tensorboard(out, start, stack) if tensorboard else None

    def write(self, row: Row) -> None:
        """Appends a row.

        Raises:
            OSError: the log was deleted or replaced, or the disk is full.
        """
        if self._place is None:
            return
        self.check()
        line = memoryview((json.dumps(row) + "\n").encode())
        try:
            while line:  # an unbuffered write may take only a part
                line = line[self._file.write(line) :]
        except OSError as error:
            tell_full_disk(error, "make room and start the run again: it goes on from its newest checkpoint")
            raise
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, row["step"])

    def check(self) -> None:
        """Checks that the log and its folder are still where they were.

        Raises:
            FileNotFoundError: they are not.
        """
        if self._place is not None:
            self._place.check()


def read_log(out: Path) -> list[Row]:
    """The rows of the log in a run's folder, without an incomplete last line.

    Raises:
        ValueError: a line is damaged.
    """
    return [row for row, _ in _lines(out / LOG)]


def _lines(path: Path) -> Iterator[tuple[Row, bytes]]:
    """Each complete line of a log, as a row and as bytes."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return  # an interrupted run wrote it
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not (isinstance(row, dict) and isinstance(row.get("step"), int)):
            raise ValueError(
                f"{path}, line {number}: expected a JSON object with a 'step', got {line[:60]!r}; it was damaged after "
                "it was written. Delete that line, or the file, and start the run again: it goes on from its newest "
                "checkpoint, and its log lacks what was deleted."
            )
        yield row, line


def _tensorboard(out: Path, start: int, stack: ExitStack) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard=True needs the package tensorboard: pip install tensorboard.") from None
    board = SummaryWriter(out / "tensorboard", purge_step=start + 1)
    stack.callback(board.close)
    return board


def progress_bar(shown: bool, start: int, steps: int, stack: ExitStack) -> Callable[[int, Row], None]:
    """A function of the step and its row that shows the progress of the training, if ``shown``."""
    show = stack.enter_context(progress.progress_bar("training", steps, shown, start))

    def advance(step: int, row: Row) -> None:
        show(step, f"loss {row['loss']:.4f}" if row else "")

    return advance
