"""How far the rows of a log have been read: in bytes of its files, or in rows where their size is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets_builders.logs.rows import HUB, Read, Source
from lang_envs.corpora.watching import watched
from lang_envs.progress import progress_bar

_EVERY = 256  # rows between two looks at the files


@contextmanager
def told(label: str, rows: Read, sources: Sequence[Source], wanted: bool = True) -> Iterator[Read]:
    """The same rows; as they are asked for in the block, progress is shown.

    Args:
        label: what is done with them.
        rows: of the sources.
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
    """The size of all files; None where one is not on this machine. What is missing is refused when it is read."""
    if any(str(source).startswith(HUB) for source in sources):
        return None
    files: list[Path] = []
    for path in map(Path, sources):
        files += [*path.glob("*.arrow"), path / "state.json"] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
