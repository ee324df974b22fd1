"""JsonStream: reads a large JSON file one record at a time, with only a record and a chunk of text in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Any, TextIO

import ijson

from lang_envs.corpora.files import CorpusError, faults, open_text, unreadable
from lang_envs.corpora.limits import DEEPEST, largest_record, record_too_large
from lang_envs.corpora.records import brief

_CHUNK = 2**16  # characters
_KINDS = {"start_map": "an object", "start_array": "an array"}
_STEP = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}


class JsonStream:
    """Walks through one JSON file, plain or compressed.

    Example:
        >>> with JsonStream("data.json.gz") as stream:
        ...     for dialogue_id in stream.members():
        ...         record = stream.value()

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self._file = open_text(path)
        self._places: list[str] = []
        self._text = _Text(self._file, self)
        self._events = self._parsed()
        self._ahead: tuple[str, Any] | None = None

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def where(self) -> str:
        """The file and the current record."""
        return ", ".join([self.path, *self._places])

    def is_object(self) -> bool:
        """Whether an object comes next.

        Raises:
            CorpusError: the file cannot be read, or is not JSON.
        """
        return self._peek() == "start_map"

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; the value of each key must be read before the next key.

        Raises:
            CorpusError: no object comes next, or it is cut short.
        """
        self._open("start_map")
        self._text.begin()
        while (taken := self._take())[0] == "map_key":
            self._places.append(brief(taken[1]))
            yield taken[1]
            self._places.pop()
            self._text.begin()

    def elements(self) -> Iterator[None]:
        """One step for each value of the array that comes next; the value must be read before the next step.

        Raises:
            CorpusError: no array comes next, or it is cut short.
        """
        self._open("start_array")
        for number in count():
            self._text.begin()
            self._places.append(f"record {number}")
            if self._peek() == "end_array":
                break
            yield
            self._places.pop()
        self._places.pop()
        self._take()

    def value(self) -> Any:
        """Reads the whole value that comes next.

        Raises:
            CorpusError: the value is not JSON, is cut short, too large or too deeply nested.
        """
        builder, depth = ijson.ObjectBuilder(), 0
        event, value = self._take()
        while True:
            builder.event(event, value)
            depth += _STEP.get(event, 0)
            if depth == 0:
                return builder.value
            if depth > DEEPEST:
                raise CorpusError(f"{self.where}: expected JSON nested at most {DEEPEST} deep, got it deeper")
            event, value = next(self._events)

    def end(self) -> None:
        """Checks that nothing follows.

        Raises:
            CorpusError: something follows.
        """
        for _ in self._events:  # the parser raises
            raise AssertionError("the value was not read whole")

    def _open(self, event: str) -> None:
        found, value = self._take()
        if found != event:
            got = _KINDS.get(found) or brief(value)
            raise CorpusError(f"{self.where}: expected {_KINDS[event]}, got {got}")

    def _peek(self) -> str:
        self._ahead = self._take()
        return self._ahead[0]

    def _take(self) -> tuple[str, Any]:
        taken, self._ahead = self._ahead or next(self._events), None
        return taken

    def _parsed(self) -> Iterator[tuple[str, Any]]:
        try:
            yield from ijson.basic_parse(self._text, use_float=True, buf_size=_CHUNK)
        except CorpusError:
            raise
        except (ijson.JSONError, ValueError) as error:  # ijson's parser in Python raises ValueError
            raise CorpusError(f"{self.where}: {_words(error)}") from error


class _Text:
    """The file as UTF-8 for the parser; it refuses a record beyond the limit and half characters.

    yajl would read an escaped lone surrogate (half a character) as a question mark.
    """

    # Two halves make one character; a backslash may itself be escaped.
    _HALF = re.compile(
        r"(?<!\\)(?:\\\\)*"
        r"(\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]..)",
        re.DOTALL,
    )
    _PAIR = 12  # length of two escaped halves that make one character
    _SEEN_AGAIN = 64  # characters that are searched again with those that follow

    def __init__(self, file: TextIO, stream: JsonStream) -> None:
        self._file, self._stream, self._most = file, stream, largest_record()
        self._size, self._before, self._held, self._has_half = 0, "", "", False

    def begin(self) -> None:
        """Begins a new record, whose size is counted from here."""
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, empty at the end.

        Raises:
            CorpusError: the file cannot be read, or the record is too large or holds half a character.
        """
        ready, more = "", not self._has_half and size != 0
        while more and not ready:
            text = self._next(size)
            known, more = self._held + text, bool(text)
            may_go_on = text and "\\" in known[-self._PAIR :]  # an escape at the end
            cut = max(0, len(known) - self._PAIR) if may_go_on else len(known)
            ready, self._held = known[:cut], known[cut:]
        ready = self._whole(ready)
        if self._has_half and not ready:
            raise CorpusError(f"{self._stream.where}: a text holds half a character (\\ud800 to \\udfff); take it out")
        self._before = (self._before + ready)[-self._SEEN_AGAIN :]
        return ready.encode()

    def _next(self, size: int) -> str:
        try:
            text = self._file.read(size)
            self._size += len(text)
            if self._size > self._most:
                raise record_too_large()
        except faults() as error:
            raise unreadable(self._stream.where, error) from error
        return text

    def _whole(self, text: str) -> str:
        """The text up to the first half character, so that what is before it is parsed before the error is raised."""
        around = self._before + text + self._held
        if "\\ud" not in around and "\\uD" not in around:
            return text
        start = self._PAIR if len(self._before) == self._SEEN_AGAIN else 0  # a second half may have lost its first
        found = self._HALF.search(around, start)
        if found is None or found.start(1) >= len(self._before) + len(text):
            return text
        self._has_half = True
        return text[: max(0, found.start(1) - len(self._before))]


def _words(error: Exception) -> str:
    told = str(error).removeprefix("b'").partition("\n")[0].partition("\\n")[0]
    if "trailing garbage" in told or "Additional data" in told:
        return "expected one JSON value, but another follows; name JSON lines .jsonl"
    if "overflow" in told:
        return "expected numbers of at most 64 bits, got a larger one"
    return f"expected JSON ({told}); was the file cut short?"
