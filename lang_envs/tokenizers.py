"""Makes ``PreTrainedTokenizerFast`` tokenizers from lists of tokens, and encodes and decodes texts with any tokenizer.

The end-of-utterance token is always the tokenizer's ``eos_token``. The tokens that the tokenizer's template puts before
a text (the ``<s>`` of Llama's) open every episode; they are an observation and not part of any text. transformers is
imported inside the functions, because the import takes seconds and most of this package does not need it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lang_envs.chat_templates import END, PACKAGED, PAD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

K = TypeVar("K")
V = TypeVar("V")

VOCABULARY = Path(__file__).parent / "vocabularies" / "english.json"
NO_LIMIT = 1_000_000_000
"""``model_max_length``: large, because environments limit histories themselves; the default overflows a C int."""


def character_tokenizer(
    tokens: Sequence[str], *, end_token: str, pad_token: str, unknown_token: str | None = None
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are single characters and a few special words.

    Args:
        tokens: the tokens in the order of their ids. Those of one character are matched as characters, longer ones as
            special tokens.
        end_token: one of ``tokens``; it ends an utterance.
        pad_token: one of ``tokens``; it is never part of an episode.
        unknown_token: one of ``tokens``; it stands for any character that is not in the list. None: the pad token.

    Raises:
        ValueError: a token is empty or listed twice, or a named token is not listed.
    """
    from tokenizers import Regex, decoders, pre_tokenizers

    # any one character, a line break included
    split = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    special = [token for token in tokens if len(token) > 1]
    return _word_level(tokens, special, split, decoders.Fuse(), end_token, pad_token, unknown_token)


def word_tokenizer(
    tokens: Sequence[str], *, end_token: str, pad_token: str, unknown_token: str | None = None
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are whole words, separated by one blank in the text.

    Args:
        tokens: the tokens in the order of their ids; none may hold white space.
        end_token: one of ``tokens``; it ends an utterance.
        pad_token: one of ``tokens``; it is never part of an episode.
        unknown_token: one of ``tokens``; it stands for any word that is not in the list. None: the pad token.

    Raises:
        ValueError: a token is empty, holds white space or is listed twice, or a named token is not listed.
    """
    from tokenizers import pre_tokenizers

    for token in tokens:
        if token.split() != [token]:
            raise ValueError(f"a word must not be empty or hold white space, got {token!r}")
    special = [token for token in dict.fromkeys((end_token, pad_token, unknown_token)) if token is not None]
    split = pre_tokenizers.WhitespaceSplit()
    return _word_level(tokens, special, split, None, end_token, pad_token, unknown_token)


def text_tokenizer() -> PreTrainedTokenizerFast:
    """The packaged tokenizer for any text: byte-level BPE with 2,048 tokens, about 1.4 tokens per English word.

    Its special tokens are the markers of :mod:`lang_envs.chat_templates`; ``<|end|>`` ends an utterance. It was trained
    on task-oriented, visual and Reddit dialogues (``scripts/train_vocabulary.py``).
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(VOCABULARY)),
        eos_token=END,
        pad_token=PAD,
        chat_template=PACKAGED,
        model_max_length=NO_LIMIT,
        clean_up_tokenization_spaces=False,
    )


def _word_level(
    tokens: Sequence[str],
    special: Sequence[str],
    split: Any,
    decoder: Any,
    end_token: str,
    pad_token: str,
    unknown_token: str | None,
) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    unknown_token = pad_token if unknown_token is None else unknown_token
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if "" in vocabulary:
        raise ValueError("a token must not be empty")
    if len(vocabulary) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if vocabulary[token] != i)
        raise ValueError(f"token {twice!r} is listed twice")
    for role, token in (("end_token", end_token), ("pad_token", pad_token), ("unknown_token", unknown_token)):
        if token not in vocabulary:
            raise ValueError(f"{role} {token!r} is not among the {len(tokens)} tokens listed; add it to them")
    if end_token == pad_token:
        raise ValueError(
            f"end_token and pad_token are both {end_token!r}; an utterance's end must be told from padding"
        )
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown_token))
    backend.pre_tokenizer = split
    if decoder is not None:
        backend.decoder = decoder
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=end_token,
        pad_token=pad_token,
        unk_token=unknown_token,
        model_max_length=NO_LIMIT,
        clean_up_tokenization_spaces=False,
    )


def whole(text: str) -> bool:
    """Whether a text can be encoded: a text with half a character (a lone surrogate) cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


ONE_SPELLS = threading.Lock()
"""held during each call of a tokenizer, which sets the tokenizer's switch for names of special tokens"""


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], literally: bool = False) -> list[list[int]]:
    """The tokens of each text, without the tokens that the tokenizer's template adds.

    Args:
        tokenizer: the tokenizer.
        texts: the texts.
        literally: whether the names of special tokens are ordinary text, as they must be in utterances.

    Raises:
        ValueError: a text is not :func:`whole`, or names a special token that the vocabulary has no other tokens for.
    """
    if not texts:
        return []
    try:
        with ONE_SPELLS:
            ids = tokenizer(list(texts), add_special_tokens=False, verbose=False, split_special_tokens=literally)[
                "input_ids"
            ]
        if literally and type(tokenizer.backend_tokenizer.model).__name__ != "BPE":  # no merge gives a special token
            special = {*tokenizer.all_special_ids}
            return [without_special(row, special, tokenizer.unk_token_id) for row in ids]
        return ids
    except TypeError as error:
        broken = next((text for text in texts if not whole(text)), None)
        if broken is None:
            raise
        raise ValueError(f"the text {broken[:60]!r} holds half a character, which no tokenizer can spell") from error


def without_special(ids: Sequence[int], special: Collection[int], unknown: int | None) -> list[int]:
    """The tokens ``ids`` of a text, in which the name of a special token is a word like any other.

    A vocabulary of whole words or pieces holds the names of its special tokens, and finds them in a text that has one.
    Here they become the token of ``unknown`` words.

    Raises:
        ValueError: there is none.
    """
    found = [token in special and token != unknown for token in ids]
    if not any(found):
        return [*ids]
    if unknown is None:
        raise ValueError(
            "a text has the name of a special token, and the tokenizer can spell this name as the special token only: "
            "give the tokenizer an unknown token (unk_token), or leave such texts out"
        )
    return [unknown if control else token for token, control in zip(ids, found, strict=True)]


def decode(tokenizer: PreTrainedTokenizerFast, tokens: Sequence[Sequence[int] | NDArray[np.int32]]) -> list[str]:
    """The text of each list of tokens, special tokens included, so that a task sees everything that was said."""
    ids = [np.asarray(t, np.int64).tolist() for t in tokens]
    # ``tokenizer.batch_decode`` calls this too, but the rest of that method takes as long again.
    return tokenizer.backend_tokenizer.decode_batch(ids, skip_special_tokens=False)


def vocabulary_size(tokenizer: PreTrainedTokenizerFast) -> int:
    """V, the number of token ids: the largest id of any token, added tokens included, plus one.

    It is larger than ``len(tokenizer)`` if some ids have no token: see :func:`unused_ids`.
    """
    return max(tokenizer.get_vocab().values()) + 1


def unused_ids(tokenizer: PreTrainedTokenizerFast) -> NDArray[np.int64]:
    """The ids below :func:`vocabulary_size` that belong to no token, ascending; they are never legal actions."""
    return size_and_unused(tokenizer)[1]


def size_and_unused(tokenizer: PreTrainedTokenizerFast) -> tuple[int, NDArray[np.int64]]:
    """:func:`vocabulary_size` and :func:`unused_ids`, from one reading of the vocabulary, which is slow."""
    used = np.fromiter(tokenizer.get_vocab().values(), np.int64)
    free = np.ones(used.max() + 1, np.bool_)
    free[used] = False
    return len(free), np.flatnonzero(free)


def opening_tokens(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that the tokenizer's own template puts before a text, such as Llama's beginning-of-sequence token.

    An episode opens with them once, as every training text of such a model did. Most tokenizers have none.
    """
    if tokenizer.backend_tokenizer.post_processor is None:
        return []
    with_template = tokenizer("a", verbose=False)["input_ids"]
    plain = encode(tokenizer, ["a"])[0]
    places = range(len(with_template) - len(plain) + 1)
    return with_template[: next((i for i in places if with_template[i : i + len(plain)] == plain), 0)]


def transcripts(
    tokenizer: PreTrainedTokenizerFast, histories: Sequence[Sequence[int] | NDArray[np.int32]]
) -> list[str]:
    """The text of each history as the task and the agent wrote it, without :func:`opening_tokens`."""
    before = opening_tokens(tokenizer)
    if not before:
        return decode(tokenizer, histories)
    n = len(before)
    return decode(tokenizer, [h[n:] if np.array_equal(h[:n], before) else h for h in histories])


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """A hash of everything that decides how a tokenizer turns text into ids; saving and loading do not change it.

    It covers the vocabulary, the merges, the special tokens, and the chat template if that is not the packaged one.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    facts = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "merges": model.get("merges"),
        "special": {"eos": tokenizer.eos_token, "pad": tokenizer.pad_token, "unk": tokenizer.unk_token},
    }
    if before := opening_tokens(tokenizer):
        facts["opening"] = before
    if tokenizer.chat_template and tokenizer.chat_template != PACKAGED:
        facts["chat_template"] = str(tokenizer.chat_template)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def remembered(memory: dict[K, V], key: K, value: V, most: int) -> V:
    """Puts a value into a cache and returns it; a cache of ``most`` values is emptied first. Threads may share it."""
    if len(memory) >= most:
        memory.clear()
    memory[key] = value
    return value
