"""Loads the packaged lists of five-letter words or a list of the user. ``NOTICE.txt`` states their sources."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import resources

from lang_envs.corpora.files import read_text

NAMES = ("english", "english-400", "english-200", "english-100", "english-30")
_WORD = re.compile(r"[a-z]{5}")


def load(words: str | os.PathLike[str] | Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Reads a word list.

    Args:
        words: the name of a packaged list (one of ``NAMES``), the path of a UTF-8 text file with one word per line,
            or the words themselves. A file may be compressed, as :func:`lang_envs.corpora.files.open_text` opens it.

    Returns:
        The words, sorted and each once, and the number of lines of a file that were left out because they are not five
        letters a-z. A general word list may hold words of any length. Blank lines are not counted.

    Raises:
        ValueError: there is no such list or file, it cannot be read as text, it holds no five-letter word, or one of
            the words passed in is not five letters a-z.
    """
    if isinstance(words, (str, os.PathLike)):
        lines = [line.strip() for line in _text(words).splitlines()]
        lines = [line for line in lines if line]
        kept = [line for line in lines if _WORD.fullmatch(line)]
        if not kept:
            raise ValueError(
                f"No word of five letters a-z (lower case) among the {len(lines)} lines of {os.fspath(words)!r}: "
                "expected a text file with one word per line."
            )
        return tuple(sorted(set(kept))), len(lines) - len(kept)
    for word in words:
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise ValueError(f"Every word must be five letters a-z in lower case, got {word!r}; leave it out.")
    if not len(words):
        raise ValueError(f"An empty word list: pass at least one word, a file, or one of the packaged lists {NAMES}.")
    return tuple(sorted(set(words))), 0


def _text(words: str | os.PathLike[str]) -> str:
    if words in NAMES:
        return resources.files(__name__).joinpath(f"{words}.txt").read_text(encoding="utf-8")
    try:
        return read_text(words)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Cannot read the word list {os.fspath(words)!r} ({error}): expected one of the packaged lists {NAMES}, or "
            "the path of a UTF-8 text file with one word per line."
        ) from error
