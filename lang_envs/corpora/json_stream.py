"""Large JSON files read one record at a time: only the record at hand and a chunk of text are in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from lang_envs.corpora.files import CorpusError, faults, open_text, unreadable

_CHUNK = 2**20  # characters
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n\ufeff"


class JsonStream:
    """Walks through one JSON file, plain or compressed.

    Example:
        >>> with JsonStream("data.json.gz") as stream:
        ...     for dialogue_id in stream.members():
        ...         record = stream.value()

    Attributes:
        where: the file and the record under way, for errors.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self._file = open_text(path)
        self._text, self._at = "", 0
        self._places: list[str] = []

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def where(self) -> str:
        """The file and the record under way."""
        return ", ".join([self.path, *self._places])

    def peek(self) -> str:
        """The first character of what comes next; empty at the file's end.

        Raises:
            CorpusError: where the file cannot be decompressed or is not UTF-8.
        """
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; the value of each must be read before the next is asked for.

        Raises:
            CorpusError: where no object comes next, or it is cut short.
        """
        for _ in self._items("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise CorpusError(f"{self.where}: expected the name of a field, got {key!r}")
            self._expect(":")
            self._places.append(repr(key))
            yield key
            self._places.pop()

    def elements(self) -> Iterator[None]:
        """One step for each value of the array that comes next; each must be read before the next is asked for.

        Raises:
            CorpusError: where no array comes next, or it is cut short.
        """
        for number, _ in enumerate(self._items("[", "]")):
            self._places.append(f"record {number}")
            yield
            self._places.pop()

    def value(self) -> Any:
        """Reads the whole value that comes next.

        Raises:
            CorpusError: where it is no JSON, or is cut short.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise CorpusError(f"{self.where}: expected JSON ({error.msg}); was the file cut short?") from error
            if end < len(self._text) or not self._more():  # else a number could go on in the next chunk
                self._at = end
                return value

    def end(self) -> None:
        """Checks that nothing follows.

        Raises:
            CorpusError: where something does.
        """
        if self.peek():
            raise CorpusError(f"{self.path}: expected one JSON value, but another follows; name JSON lines .jsonl")

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        self._expect(opening)
        if self.peek() != closing:
            yield
            while self.peek() == ",":
                self._at += 1
                yield
        self._expect(closing)

    def _expect(self, character: str) -> None:
        found = self.peek()
        if found != character:
            got = repr(found) if found else "the end of the file; was it cut short?"
            raise CorpusError(f"{self.where}: expected {character!r}, got {got}")
        self._at += 1

    def _more(self) -> bool:
        """Reads on, by as much as is waiting at least: a value that takes many chunks is not parsed again for each."""
        waiting = self._text[self._at :]
        try:
            chunk = self._file.read(max(_CHUNK, len(waiting)))
        except faults() as error:
            raise unreadable(self.where, error) from error
        self._text, self._at = waiting + chunk, 0
        return bool(chunk)
