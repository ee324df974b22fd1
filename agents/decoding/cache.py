"""A cache of keys and values that is kept between turns. Column t of a row belongs to the token at position t.

transformers' own cache concatenates: it copies the whole past at every token, and its rows have equal lengths. Here
every row has its own length, memory is allocated ahead, and a step writes one column of each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

BLOCK = 64  # columns are allocated in multiples of it


class Window:
    """Where the next forward pass reads and writes in all layers: rows 0 .. n - 1, at the positions ``at`` [n, Q].

    Attributes:
        row: int64 [n, 1], the rows.
        column: int64 [n, Q], the position of each token.
        columns: K, the number of columns up to the last position.
        start: the first position if all rows have the same positions, otherwise None.
        mask: [n or 1, 1, Q, K], 0 or -inf, added to the attention's scores; None if plain causal attention is enough.
    """

    def __init__(self, at: NDArray[np.int64], device: torch.device, dtype: torch.dtype) -> None:
        n, queries = at.shape
        self.columns = int(at.max()) + 1
        self.row = torch.arange(n, device=device)[:, None]  # [n, 1]
        self.column = torch.from_numpy(at).to(device)  # [n, Q]
        self.start = int(at[0, 0]) if (at == at[0]).all() else None
        self.mask = None
        if self.start is None or (queries > 1 and self.start > 0):
            position = self.column if self.start is None else self.column[:1]  # [n or 1, Q]
            unseen = torch.arange(self.columns, device=device) > position[:, :, None]  # [n or 1, Q, K]
            self.mask = torch.zeros(unseen.shape, dtype=dtype, device=device).masked_fill_(unseen, -torch.inf)[:, None]

    def write(self, buffer: Tensor | None, new: Tensor) -> Tensor:
        """Writes ``new`` [n, H, Q, d] into the buffer [rows, H, columns, d], and returns the buffer.

        If the buffer is None or too small, it writes into a larger copy and returns that.
        """
        n, heads, _, d = new.shape
        rows, columns = (0, 0) if buffer is None else (buffer.shape[0], buffer.shape[2])
        if buffer is None or n > rows or self.columns > columns:
            size = (max(n, rows), heads, max(-(-self.columns // BLOCK) * BLOCK, columns), d)
            larger = new.new_zeros(size)  # zeros, because what is masked must still be finite
            if buffer is not None:
                larger[:rows, :, :columns] = buffer
            buffer = larger
        if self.start is not None:
            buffer[:n, :, self.start : self.columns] = new
        else:
            buffer[self.row, :, self.column] = new.transpose(1, 2)  # [n, Q, H, d]
        return buffer


class RowLayer(CacheLayerMixin):
    """The keys and values of one layer, [rows, H, columns, d] each; ``update`` returns views of them."""

    window: Window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Does nothing: ``update`` allocates memory."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Writes keys and values, [n, H, Q, d] each, and returns those of columns 0 .. K - 1, [n, H, K, d] each."""
        n, columns = len(key_states), self.window.columns
        self.keys = self.window.write(self.keys, key_states)
        self.values = self.window.write(self.values, value_states)
        return self.keys[:n, :, :columns], self.values[:n, :, :columns]

    def get_seq_length(self) -> int:
        """The number of columns before those of this pass; transformers uses it to build a causal mask."""
        return self.window.columns - self.window.column.shape[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """The number of columns, and the offset 0."""
        return self.window.columns, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1


def window_of(config: PreTrainedConfig) -> int | None:
    """The smallest attention window that a model's configuration names for layers with an ordinary cache.

    transformers knows windows that are named by ``layer_types`` and ``sliding_window`` and makes other caches for them,
    which ``RowCache`` refuses. Older layouts (GPT-Neo) have a window inside ordinary layers, which is counted back from
    the last column and not from a row's own position. Behind the window, a row in a batch with longer rows would be
    read differently than alone.

    Returns:
        The window in tokens, or None if no layer has one.
    """
    named = config.to_dict()
    if named.get("layer_types") or set(named.get("attention_layers") or ["local"]) == {"global"}:
        return None
    windows = [value for name, value in named.items() if "window" in name and not name.startswith("max_")]
    widths = [width for value in windows for width in (value if isinstance(value, list) else [value])]
    return min((width for width in widths if type(width) is int and width > 0), default=None)


class RowCache:
    """The keys and values of many episodes in one or more transformers, and the tokens to which they belong.

    Raises:
        ValueError: the transformers cache something else than the keys and values of all tokens.
    """

    def __init__(self, trunks: Sequence[PreTrainedModel]) -> None:
        self.trunks = trunks
        usual = [DynamicCache(config=trunk.config).layers for trunk in trunks]
        if other := {type(layer).__name__ for layers in usual for layer in layers} - {DynamicLayer.__name__}:
            raise ValueError(
                f"Only the past of full attention can be kept here; {type(trunks[0]).__name__} has {', '.join(other)}. "
                "Use a model without sliding windows or linear attention."
            )
        self.layers = [[RowLayer() for _ in layers] for layers in usual]
        self.window = min((w for trunk in trunks if (w := window_of(trunk.config))), default=None)
        self.held: list[NDArray[np.int32]] = []  # for each row its cached tokens, from position 0

    def admit(self, histories: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Assigns n histories to rows 0 to n - 1, and moves cached keys and values of a history to its row.

        Returns:
            ``(row_of, held)``: ``row_of[r]`` is the index of the history in row r, and ``held[i]`` is the number of
            tokens of history i that are cached. The last token is never among them, because its scores are needed.
        """
        rows: dict[bytes, list[int]] = {}
        for r, tokens in enumerate(self.held):
            rows.setdefault(tokens.tobytes(), []).append(r)
        lengths = sorted({len(tokens) for tokens in self.held if len(tokens)}, reverse=True)
        n = len(histories)
        held, source = np.zeros(n, np.int64), np.full(n, -1, np.int64)  # [n] each; -1: held nowhere
        for i, history in enumerate(histories):
            for length in lengths:
                if length <= len(history) and (found := rows.get(history[:length].tobytes())):
                    held[i], source[i] = min(length, len(history) - 1), found.pop()
                    break
        stays = (source >= 0) & (source < n)  # [n]
        row_of = np.full(n, -1, np.int64)  # [n]
        row_of[source[stays]] = stays.nonzero()[0]
        free, placed = (row_of < 0).nonzero()[0], (~stays).nonzero()[0]  # equally many free rows and histories
        row_of[free] = placed
        moves = source[placed] >= 0
        self._copy(source[placed[moves]], free[moves])
        self.held = [histories[int(i)][: held[i]] for i in row_of]
        return row_of, held

    def swap(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Exchanges rows ``a`` with rows ``b``."""
        self._copy(np.concatenate([a, b]), np.concatenate([b, a]))
        for i, j in zip(a, b, strict=True):
            self.held[i], self.held[j] = self.held[j], self.held[i]

    def _copy(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        for layer in (layer for layers in self.layers for layer in layers):
            for buffer in (layer.keys, layer.values):
                if buffer is not None and len(source):
                    buffer[torch.from_numpy(target).to(buffer.device)] = buffer[
                        torch.from_numpy(source).to(buffer.device)
                    ]

    def forward(self, tokens: NDArray[np.int32], at: NDArray[np.int64]) -> list[Tensor]:
        """Reads tokens [n, Q] at positions [n, Q] into rows 0 to n - 1 -> last hidden states of each trunk, [n, Q, d].

        Raises:
            ValueError: an episode is longer than the attention window of some layer.
        """
        window = Window(at, self.trunks[0].device, self.trunks[0].dtype)
        if self.window is not None and window.columns > self.window:
            raise ValueError(
                f"Layers of {type(self.trunks[0]).__name__} look back on {self.window} tokens, and an episode has "
                f"{window.columns}. Beyond its window the model cannot play many episodes at once. Make the "
                f"environment with max_tokens={self.window}, or take a model with full attention."
            )
        ids = torch.from_numpy(tokens).to(window.column.device)  # [n, Q]
        states = []
        for trunk, layers in zip(self.trunks, self.layers, strict=True):
            for layer in layers:
                layer.window = window
            output = trunk(
                inputs_embeds=trunk.get_input_embeddings()(ids),  # with ids, transformers would look for padding
                attention_mask=window.mask,
                position_ids=window.column,
                past_key_values=Cache(layers=list(layers)),
                use_cache=True,
            )
            states.append(output.last_hidden_state)  # [n, Q, d]
        return states
