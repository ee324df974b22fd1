"""TextCache: values computed for recent texts, within a bound on memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from lang_envs.rewards.one_at_a_time import OneAtATime

T = TypeVar("T")


class TextCache(Generic[T]):
    """Values by text; the least recently used are dropped first. A copy in another process begins empty.

    Args:
        max_bytes: most bytes of all values together; 0 keeps none.
        nbytes: returns the bytes of a value.
    """

    def __init__(self, max_bytes: int, nbytes: Callable[[T], int]) -> None:
        if max_bytes < 0:
            raise ValueError(f"a cache's bytes must not be negative, got {max_bytes}; 0 keeps nothing")
        self._max_bytes, self._nbytes = max_bytes, nbytes
        self._values: OrderedDict[str, T] = OrderedDict()
        self._bytes = 0
        self._lock = OneAtATime()

    def __reduce__(self) -> tuple[type[TextCache[T]], tuple[int, Callable[[T], int]]]:
        return TextCache, (self._max_bytes, self._nbytes)

    def get(self, texts: Sequence[str], compute: Callable[[Sequence[str]], Sequence[T]]) -> list[T]:
        """The value of each text; ``compute`` is called once, with the distinct texts that are not known yet."""
        with self._lock:
            known = {text: self._values[text] for text in texts if text in self._values}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known |= zip(missing, compute(missing), strict=True)
        with self._lock:
            for text in dict.fromkeys(texts):
                self._keep(text, known[text])
        return [known[text] for text in texts]

    def _keep(self, text: str, value: T) -> None:
        if text not in self._values:
            self._values[text] = value
            self._bytes += self._nbytes(value)
        self._values.move_to_end(text)
        while self._bytes > self._max_bytes:
            self._bytes -= self._nbytes(self._values.popitem(last=False)[1])
