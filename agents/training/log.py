"""Where the metrics of a training run go: a file of JSON lines, TensorBoard, and a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from datasets_builders.atomic import write_text

Row = dict[str, float]


def open_log(out: str | Path | None, tensorboard: bool, start: int, stack: ExitStack) -> Callable[[Row], None]:
    """A function that appends metrics to ``out/metrics.jsonl``; it does nothing where ``out`` is None.

    Lines an interrupted run wrote after ``start``, the step it continues from, are dropped: those steps are made again.
    """
    if out is None:
        return lambda row: None
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    write_text(path, "".join(line for line in whole if json.loads(line)["step"] <= start))
    log = stack.enter_context(path.open("a", buffering=1))
    board = _tensorboard(out, start, stack) if tensorboard else None

    def write(row: Row) -> None:
        log.write(json.dumps(row) + "\n")
        if board is not None:
            for name, value in row.items():
                board.add_scalar(name, value, row["step"])

    return write


def _tensorboard(out: Path, start: int, stack: ExitStack) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard=True needs the package tensorboard: pip install tensorboard.") from None
    board = SummaryWriter(out / "tensorboard", purge_step=start + 1)
    stack.callback(board.close)
    return board


def progress_bar(shown: bool, start: int, steps: int, stack: ExitStack) -> Callable[[int, Row], None]:
    """A function that moves a progress bar; there is none unless ``shown`` and standard error is a terminal."""
    if not (shown and sys.stderr.isatty()):
        return lambda step, row: None
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lang_envs.terminal import Terminal

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    bar = stack.enter_context(Progress(*columns, console=Terminal(stderr=True)))
    task = bar.add_task("", total=steps, completed=start)

    def advance(step: int, row: Row) -> None:
        bar.update(task, completed=step, description=f"loss {row['loss']:.4f}" if row else None)

    return advance
