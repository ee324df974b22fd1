"""Turns the rows of a log into episodes, as a stream."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from datasets_builders.logs.layouts import recognised
from datasets_builders.logs.layouts.layout import Layout
from datasets_builders.logs.limits import Limits
from datasets_builders.logs.report import Report
from datasets_builders.logs.rows import Numbered, Place, Read, Source, as_given, of_sources, portions
from datasets_builders.logs.scoring import AT_ONCE, scored
from datasets_builders.logs.spelling import Spelling
from datasets_builders.logs.table import Named, Table, looked_at
from datasets_builders.logs.talk import Fault, Row, Talk
from datasets_builders.provenance import FORMAT_VERSION, tokenizer_facts, versions
from datasets_builders.storage import DatasetError
from lang_envs.conversation import Conversation
from lang_envs.corpora.files import CorpusError
from lang_envs.episode import Episode
from lang_envs.printable import printable
from lang_envs.rewards.reply_rewards import ReplyReward, reply_reward

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Options:
    """Options of an import.

    Attributes:
        layout: the name of the layout; None: it is recognised.
        named: the columns that the user named.
        reward: a reward for the conversations that the log does not rate: a function, or a text that
            ``lang_envs.rewards.reply_rewards`` reads.
        limits: the limits of an episode.
        plain: whether a prompt that is a text is tokenized as it is, not as a message of the user.
        strict: whether the first row that cannot be imported is an error; otherwise it is left out and counted.
    """

    layout: str | None = None
    named: Named = field(default_factory=Named)
    reward: str | ReplyReward | None = None
    limits: Limits = field(default_factory=Limits)
    plain: bool = False
    strict: bool = False


STRICT = Options(strict=True)


class Imported(NamedTuple):
    """A conversation with its episode."""

    row: int
    name: str
    messages: Conversation
    rewards: list[float | None]
    episode: Episode


class Import:
    """The import of one log; iterate over it to get the conversations.

    Attributes:
        report: counts of what was imported and left out so far.

    Args:
        rows: the rows of the log with their places.
        where: the source of the rows, for errors.
        tokenizer: the tokenizer that the episodes are written with.
        options: the options of the import.

    Raises:
        DatasetError: the log is empty, its layout is unknown or ambiguous, or it has no rewards and the options do not
            say so.
    """

    def __init__(self, rows: Read, where: str, tokenizer: PreTrainedTokenizerFast, options: Options) -> None:
        self.options = options
        named = options.reward
        self._where, self._score = where, reply_reward(named) if isinstance(named, str) else named
        self.spelling = Spelling(tokenizer, options.limits, options.plain)
        try:
            self._table, self._rows = looked_at(rows, options.named)
            self._layout = recognised(self._table, options.layout)
            self._read = self._layout.reader(self._table)
            self.report = Report(self._layout.name, _rewards(self._layout, self._table, options))
            self._id, self._policy = self._table.maybe("id"), self._table.maybe("policy")
        except (DatasetError, Fault) as error:
            raise DatasetError(f"{where}: {error}") from error

    def __iter__(self) -> Iterator[Imported]:
        """The conversations that can be imported, in the order of their rows."""
        found = self._talks()
        if self._score is not None:
            found = self._scored(found, self._score)
        for place, row, talk in found:
            try:
                if not (talk.rated or self.options.named.unrated):
                    raise Fault("no rating")
                own = row.get(self._policy) if self._policy else None
                episode = self.spelling.episode(talk, talk.policy or (printable(str(own))[:200] if own else "log"))
                messages, rewards = self.spelling.messages(talk)
            except Fault as fault:
                self._leave_out(place, fault)
                continue
            name = talk.name or (row.get(self._id) if self._id else None)
            self.report.kept += 1
            yield Imported(place.row, printable(str(place.row if name is None else name)), messages, rewards, episode)
        self.report.cut, self.report.shortened = self.spelling.cut, self.spelling.shortened

    def _talks(self) -> Iterator[tuple[Place, Row, Talk]]:
        for place, row in self._layout.gathered(self._counted(), self._table):
            try:
                talks = [self.spelling.in_turns(talk) for talk in self._read(row)]
            except Fault as fault:
                self._leave_out(place, fault)
                continue
            yield from ((place, row, talk) for talk in talks)

    def _counted(self) -> Numbered:
        for place, row in self._rows:
            self.report.rows += 1
            if isinstance(row, Fault):
                self._leave_out(place, row)
            else:
                yield place, row

    def _scored(
        self, found: Iterable[tuple[Place, Row, Talk]], score: ReplyReward
    ) -> Iterator[tuple[Place, Row, Talk]]:
        for some in portions(found, AT_ONCE):
            talks = scored([talk for _, _, talk in some], score)
            yield from ((place, row, talk) for (place, row, _), talk in zip(some, talks, strict=True))

    def _leave_out(self, place: Place, fault: Fault) -> None:
        if self.options.strict:
            raise DatasetError(f"{place}: {fault}") from fault
        self.report.skip(place, fault)

    def nothing(self) -> DatasetError:
        """The error for a log of which no conversation could be imported."""
        return DatasetError(
            f"{self._where}: none of {self.report.rows} rows could be imported by the layout {self.report.layout!r} of "
            f"{self._table.listed}: {self.report.left_out()}"
        )


def _rewards(layout: Layout, table: Table, options: Options) -> str:
    """Where the rewards come from, in words.

    Raises:
        DatasetError: there are no rewards and ``unrated`` is not set, or ``unrated`` is set beside a reward.
    """
    if options.named.unrated:
        if options.reward is not None:
            raise DatasetError("--no-reward leaves rewards out and --reward makes some: give one of them")
        return "none"
    words = layout.rewards(table)
    if options.reward is not None:
        by = options.reward if isinstance(options.reward, str) else getattr(options.reward, "__name__", "a function")
        return f"{words}; where there is none, {by}" if words else by
    if not words:
        raise DatasetError(
            f"no column of rewards is known among {table.listed} (layout {layout.name!r}): name one, as in "
            "--reward-column stars, score the replies with --reward, or say --no-reward to import them without"
        )
    return words


def facts_of(log: Import, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The facts of an import's provenance that are known before the first row."""
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


def episodes_of(
    rows: Iterable[Any] | Source, tokenizer: PreTrainedTokenizerFast, options: Options
) -> tuple[list[Episode], dict[str, Any]]:
    """The episodes of a log in memory, and their provenance.

    Raises:
        DatasetError: nothing can be imported, or with strict options a row cannot be imported.
    """
    try:
        if isinstance(rows, (str, os.PathLike)):
            log = Import(of_sources([rows]), str(rows), tokenizer, options)
        else:
            log = Import(as_given(rows), "the rows", tokenizer, options)
        found = [one.episode for one in log]
    except CorpusError as error:
        raise DatasetError(str(error)) from error
    if not found:
        raise log.nothing()
    return found, {**facts_of(log, tokenizer), "import": log.report.facts()}
