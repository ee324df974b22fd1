"""Importing a log: rows in, episodes out, in a stream."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import xxhash

from datasets_builders.logs.conversations_file import ConversationsFile
from datasets_builders.logs.layouts import recognised
from datasets_builders.logs.layouts.layout import Layout, Numbered
from datasets_builders.logs.report import Report
from datasets_builders.logs.rows import Source, given, portions, rows_of
from datasets_builders.logs.scoring import AT_ONCE, Score, score_by, scored
from datasets_builders.logs.spelling import Limits, Spelling
from datasets_builders.logs.table import Named, Table, looked_at
from datasets_builders.logs.talk import Fault, Row, Talk
from datasets_builders.provenance import FORMAT_VERSION, tokenizer_facts, versions
from datasets_builders.storage import DatasetError, encode, schema
from datasets_builders.writer import Recording
from lang_envs.adoption import adopt
from lang_envs.conversation import Conversation
from lang_envs.corpora.files import CorpusError
from lang_envs.corpora.records import brief
from lang_envs.episode import Episode, Episodes
from lang_envs.pretrained import load_config
from lang_envs.tokenizers import text_tokenizer, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_TOKENS, MAX_UTTERANCE_TOKENS = 1024, 256
HELD_OUT = "held-out"
"""the folder, inside of an imported data set, of the conversations that are kept from training"""
_BLOCK = 2048  # conversations that are written at once


@dataclass(frozen=True)
class Options:
    """How a log is imported.

    Attributes:
        layout: by name; None: it is recognised.
        named: what a person said of the columns.
        reward: scores conversations that the log does not rate: see :func:`~datasets_builders.logs.scoring.score_by`.
        limits: of an episode.
        plain: whether prompts that are texts are read as they stand.
        strict: whether the first row that cannot be imported is an error; else it is left out and counted.
    """

    layout: str | None = None
    named: Named = field(default_factory=Named)
    reward: str | Score | None = None
    limits: Limits = field(default_factory=lambda: Limits(MAX_TOKENS, MAX_UTTERANCE_TOKENS))
    plain: bool = False
    strict: bool = False


class Imported(NamedTuple):
    """A conversation with its episode."""

    row: int
    name: str
    messages: Conversation
    rewards: list[float | None]
    episode: Episode


class Import:
    """One log on its way.

    Attributes:
        report: what came of it so far.

    Args:
        rows: with their numbers.
        tokenizer: that spells.
        options: how.

    Raises:
        DatasetError: the log is empty, its layout is unknown or ambiguous, or it has no rewards and nobody said so.
    """

    def __init__(self, rows: Numbered, tokenizer: PreTrainedTokenizerFast, options: Options) -> None:
        self.options = options
        self._table, self._rows = looked_at(rows, options.named)
        self._layout = recognised(self._table, options.layout)
        self._read = self._layout.reader(self._table)
        self.spelling = Spelling(tokenizer, options.limits, options.plain)
        self._score = None if options.reward is None else score_by(options.reward)
        self.report = Report(self._layout.name, _rewards(self._layout, self._table, options))
        self._id, self._policy = self._table.maybe("id"), self._table.maybe("policy")

    def __iter__(self) -> Iterator[Imported]:
        """The conversations that can be imported, in the order of their rows."""
        found = self._talks()
        if self._score is not None:
            found = self._scored(found, self._score)
        for number, row, talk in found:
            try:
                if not (talk.rated or self.options.named.unrated):
                    raise Fault("no rating")
                own = row.get(self._policy) if self._policy else None
                episode = self.spelling.episode(talk, talk.policy or (str(own)[:200] if own else "log"))
                messages, rewards = self.spelling.messages(talk)
            except Fault as fault:
                self._leave_out(number, fault)
                continue
            name = talk.name or (row.get(self._id) if self._id else None)
            self.report.kept += 1
            yield Imported(number, str(number if name is None else name), messages, rewards, episode)
        self.report.cut, self.report.shortened = self.spelling.cut, self.spelling.shortened

    def _talks(self) -> Iterator[tuple[int, Row, Talk]]:
        for number, row in self._layout.gathered(self._counted(), self._table):
            try:
                talks = list(self._read(row))
            except Fault as fault:
                self._leave_out(number, fault)
                continue
            yield from ((number, row, talk) for talk in talks)

    def _counted(self) -> Numbered:
        for number, row in self._rows:
            self.report.rows += 1
            yield number, row

    def _scored(self, found: Iterable[tuple[int, Row, Talk]], score: Score) -> Iterator[tuple[int, Row, Talk]]:
        for some in portions(found, AT_ONCE):
            talks = scored([talk for _, _, talk in some], score)
            yield from ((number, row, talk) for (number, row, _), talk in zip(some, talks, strict=True))

    def _leave_out(self, row: int, fault: Fault) -> None:
        if self.options.strict:
            raise DatasetError(f"row {row}: {fault}") from fault
        self.report.skip(row, fault)

    def nothing(self) -> DatasetError:
        """The error for a log of which nothing could be kept."""
        columns = brief(list(self._table.columns))
        return DatasetError(
            f"none of {self.report.rows} rows could be imported by the layout {self.report.layout!r} of the columns "
            f"{columns}: {self.report.left_out()}"
        )


def _rewards(layout: Layout, table: Table, options: Options) -> str:
    """Where the rewards come from, in words.

    Raises:
        DatasetError: there are none, and nobody said that this is meant.
    """
    if options.named.unrated:
        return "none"
    words = layout.rewards(table)
    if options.reward is not None:
        by = options.reward if isinstance(options.reward, str) else getattr(options.reward, "__name__", "a function")
        return f"{words}; where there is none, {by}" if words else by
    if not words:
        raise DatasetError(
            f"no column of rewards is known among {brief(list(table.columns))} (layout {layout.name!r}): name it with "
            "--reward-column, score the replies with --reward, or say --no-reward to import them without"
        )
    return words


def tokenizer_for(named: Any, plain: bool = False, markup: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer that conversations are spelled with.

    Args:
        named: a tokenizer, or where one is; None: the packaged one.
        plain: whether texts are read as they stand, so that one without a chat template stays without.
        markup: how conversations are written, where not by its own chat template (``lang_envs.adoption``).
    """
    found = adopt(text_tokenizer() if named is None else named, markup)
    return found if found.chat_template or plain else adopt(found, "plain")


def token_limit_of(named: Any, tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The most tokens that a tokenizer, or the model beside it, says it reads; None where neither says."""
    stated = [tokenizer.model_max_length]
    if isinstance(named, (str, os.PathLike)):
        try:
            stated.append(getattr(load_config(named), "max_position_embeddings", None) or 0)
        except (ValueError, OSError):  # a tokenizer alone
            pass
    return min((n for n in stated if 0 < n < 1_000_000), default=None)


def limits_for(
    tokenizer: PreTrainedTokenizerFast,
    named: Any = None,
    tokens: int | None = None,
    utterance: int = MAX_UTTERANCE_TOKENS,
    longer: Literal["skip", "cut"] = "skip",
) -> Limits:
    """The limits of an import; see :class:`Limits`.

    Args:
        tokenizer: that spells.
        named: where it is, and perhaps its model; None for the packaged one.
        tokens: of an episode; None: 1024, or fewer where the model reads no more.
        utterance: of a reply.
        longer: what becomes of a longer one.

    Raises:
        ValueError: the model reads fewer tokens, or the reply leaves no room for a prompt.
    """
    most = token_limit_of(named, tokenizer)
    if tokens is not None and most is not None and tokens > most:
        raise ValueError(f"--max-tokens is {tokens}, and the model reads {most} at most; ask for fewer")
    found = tokens or min(MAX_TOKENS, most or MAX_TOKENS)
    if not 1 <= utterance < found:
        raise ValueError(
            f"a reply of at most {utterance} tokens leaves no room for a prompt in an episode of {found}; set "
            "--max-utterance-tokens to fewer, or --max-tokens to more"
        )
    return Limits(found, utterance, longer)


def import_logs(
    sources: Sequence[Source],
    out: Source,
    tokenizer: PreTrainedTokenizerFast,
    options: Options,
    held_out: float = 0.1,
    split: str = "train",
) -> Report:
    """Writes a data set of the conversations of a log; what an interrupted import left is deleted by the next.

    Args:
        sources: files of the same layout (:func:`~datasets_builders.logs.rows.rows_of`).
        out: the folder to make. The episodes of held-out conversations are a data set in its folder ``held-out``.
        tokenizer: that spells.
        options: how.
        held_out: the fraction of conversations that are kept from training. Those that open alike are on one side.
        split: of a data set of the hub.

    Raises:
        DatasetError: nothing can be imported, in words.
        FileExistsError: ``out`` exists.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"the held-out fraction must lie in [0, 1), got {held_out}")
    try:
        log = Import(_all_rows(sources, split), tokenizer, options)
        return _written(log, sources, out, tokenizer, held_out)
    except CorpusError as error:
        raise DatasetError(str(error)) from error


def _all_rows(sources: Sequence[Source], split: str) -> Numbered:
    for source in sources:
        yield from rows_of(source, split)


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
    except BaseException:  # whatever it was, half an import is of no use: the log is where it was
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
            f"all {log.report.kept} conversations open alike, or too few are there to hold some out: none is left to "
            "learn from; say --held-out 0"
        )
    if aside.episodes:
        aside.finish(found)
    else:
        aside.discard()
    recording.finish(found)


def facts_of(log: Import, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The provenance of an import, as far as it is known before the first row."""
    limits = log.options.limits
    kwargs = {"max_context_tokens": limits.tokens - limits.utterance, "max_response_tokens": limits.utterance}
    return {
        "format_version": FORMAT_VERSION,
        "name": "Imported log",
        "description": f"Conversations of a log, imported by the layout {log.report.layout}.",
        "env": {"id": "Logs-v0", "kwargs": kwargs},
        "max_utterance_tokens": limits.utterance,
        "rewards": log.report.rewards,
        "tokenizer": tokenizer_facts(tokenizer),
        "versions": versions(),
    }


def is_held_out(messages: Conversation, fraction: float) -> bool:
    """Whether a conversation is kept from training, by what stands before the first reply."""
    opening = []
    for message in messages:
        if message.role == "assistant":
            break
        opening.append(message)
    return xxhash.xxh3_64_intdigest(repr([tuple(message) for message in opening]).encode()) < fraction * 2**64


def episodes_of(
    rows: Iterable[Any] | Source, tokenizer: PreTrainedTokenizerFast, options: Options
) -> tuple[list[Episode], dict[str, Any]]:
    """The episodes of a log in memory, and their provenance.

    Raises:
        DatasetError: as :func:`import_logs`.
    """
    try:
        log = Import(given(rows), tokenizer, options)
        found = [one.episode for one in log]
    except CorpusError as error:
        raise DatasetError(str(error)) from error
    if not found:
        raise log.nothing()
    return found, {**facts_of(log, tokenizer), "import": log.report.facts()}
