"""Shows how much of a log was read: in bytes of its files, or in rows if their size is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets_builders.logs.rows import HUB, Read, Source
from lang_envs.corpora.bytes_read import watched
from lang_envs.progress import progress_bar

_EVERY = 256  # rows between two updates


@contextmanager
def told(label: str, rows: Read, sources: Sequence[Source], wanted: bool = True) -> Iterator[Read]:
    """Gives the same rows, and shows the progress while they are read inside the block.

    Args:
        label: the name of the work.
        rows: the rows of the sources.
        sources: see :func:`~datasets_builders.logs.rows.rows_of`.
        wanted: whether to show anything.
    """
    total = _bytes_of(sources)
    unit = "rows" if total is None else "bytes"
    with watched() as watch, progress_bar(f"{label}, {unit}", total, wanted) as show:

        def counted() -> Read:
            for number, row in enumerate(rows):
                if number % _EVERY == 0:
                    if total is None:
                        show(number)
                    else:
                        show(watch.bytes_read(), f"{number:,} rows")
                yield row

        yield counted()


def _bytes_of(sources: Sequence[Source]) -> int | None:
    """The size of all files; None if a source is on the hub. A missing file counts 0; reading it raises the error."""
    if any(str(source).startswith(HUB) for source in sources):
        return None
    files: list[Path] = []
    for path in map(Path, sources):
        files += [*path.glob("*.arrow"), path / "state.json"] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
