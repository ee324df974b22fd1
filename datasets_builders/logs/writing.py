"""Writes an imported log to disk: its episodes, its held-out episodes, and the conversations as texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from datasets_builders.logs.conversations_file import ConversationsFile
from datasets_builders.logs.importing import Import, Options, facts_of
from datasets_builders.logs.reading_progress import told
from datasets_builders.logs.report import Report
from datasets_builders.logs.rows import Source, of_sources, portions
from datasets_builders.storage import DatasetError, encode, schema
from datasets_builders.writer import Recording
from lang_envs.conversation import Conversation
from lang_envs.corpora.files import CorpusError
from lang_envs.episode import Episodes
from lang_envs.tokenizers import vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HELD_OUT = "held-out"
"""the folder, inside an imported data set, of the held-out conversations"""
_BLOCK = 2048  # number of conversations that are written at once


def import_logs(
    sources: Sequence[Source],
    out: Source,
    tokenizer: PreTrainedTokenizerFast,
    options: Options,
    held_out: float = 0.1,
    split: str = "train",
    progress: bool = True,
) -> Report:
    """Writes a data set of the conversations of a log. A new call deletes what an interrupted import left.

    Args:
        sources: files of the same layout (:func:`~datasets_builders.logs.rows.rows_of`).
        out: the folder to make. The episodes of held-out conversations are a data set in its folder ``held-out``.
        tokenizer: the tokenizer that the episodes are written with.
        options: the options of the import.
        held_out: the fraction of conversations that are held out. All conversations with the same messages before the
            first reply are on the same side.
        split: the split of a data set on the hub.
        progress: whether to show the progress on standard error (``lang_envs.progress``).

    Raises:
        DatasetError: nothing can be imported; the message says why.
        FileExistsError: ``out`` exists.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"the held-out fraction must lie in [0, 1), got {held_out}")
    try:
        with told(f"importing {Path(out).name}", of_sources(sources, split), sources, progress) as rows:
            log = Import(rows, ", ".join(map(str, sources)), tokenizer, options)
            return _written(log, sources, out, tokenizer, held_out)
    except CorpusError as error:
        raise DatasetError(str(error)) from error


def _written(
    log: Import, sources: Sequence[Source], out: Source, tokenizer: PreTrainedTokenizerFast, held_out: float
) -> Report:
    facts = facts_of(log, tokenizer) | {"source": [str(source) for source in sources], "held_out": held_out}
    columns = schema(vocabulary_size(tokenizer))
    how: dict[str, Any] = {"resume": False, "copy": True, "advice": "make room and import again"}
    recording = Recording(out, facts, columns, tokenizer, **how)
    aside = None
    try:
        aside = Recording(recording.partial / HELD_OUT, {**facts, "split": HELD_OUT}, columns, tokenizer, **how)
        with ConversationsFile(recording.partial) as texts:
            for some in portions(log, _BLOCK):
                apart = [is_held_out(one.messages, held_out) for one in some]
                for one, held in zip(some, apart, strict=True):
                    texts.add(one.name, held, one.messages, one.rewards, one.row)
                texts.flush()
                for into, side in ((recording, False), (aside, True)):
                    kept = [one.episode for one, held in zip(some, apart, strict=True) if held is side]
                    if kept:
                        into.append(encode(Episodes.from_list(kept), columns))
                log.spelling.forget()
        log.report.held_out = aside.episodes
        _finish(log, recording, aside)
    except BaseException:  # half an import is of no use, because the log still exists
        if aside is not None:
            aside.discard()
        recording.discard()
        raise
    return log.report


def _finish(log: Import, recording: Recording, aside: Recording) -> None:
    found = {"import": log.report.facts()}
    if not log.report.kept:
        raise log.nothing()
    if not recording.episodes:
        raise DatasetError(
            f"all {log.report.kept} conversations open alike, or there are too few to hold some out: none is left to "
            "learn from; pass --held-out 0"
        )
    if aside.episodes:
        aside.finish(found)
    else:
        aside.discard()
    recording.finish(found)


def is_held_out(messages: Conversation, fraction: float) -> bool:
    """Whether a conversation is held out, by a hash of the messages before the first reply."""
    opening = []
    for message in messages:
        if message.role == "assistant":
            break
        opening.append(message)
    return xxhash.xxh3_64_intdigest(repr([tuple(message) for message in opening]).encode()) < fraction * 2**64
