"""Exports episodes in the text formats of TRL's trainers (https://huggingface.co/docs/trl/dataset_formats).

``sft``         {"prompt", "completion", "reward"}: one line for each utterance of the agent
``preference``  {"prompt", "chosen", "rejected", "score_chosen", "score_rejected"}: one line for each context, its best
                and its worst answer by return

The files are JSON lines. Each format is written as plain text, exactly as the agent reads and says it, or as chat
messages. The trainers ignore the columns of numbers, and ``datasets.load_dataset("json", data_files=path)`` reads the
files.

``EpisodeDataset.from_rows`` reads them too; for plain text pass ``Options(plain=True)``. The tokenizer then tokenizes
the text again. A file that is read and written again stays the same. An episode of one utterance keeps its tokens and
its reward, but loses its info and what was said after the utterance. Two kinds of episodes get other tokens: those
whose tokens are not the tokenizer's own for that text (``respelled`` counts these), and those cut before their end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets_builders.atomic import replacing
from datasets_builders.claim import Claim
from datasets_builders.dataset import EpisodeDataset
from lang_envs.conversation import assistant, to_json
from lang_envs.episode import Episode
from lang_envs.markup import markup_of
from lang_envs.progress import counted
from lang_envs.tokenizers import decode, transcripts
from lang_envs.utterances import spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Row = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """Counts of what was written and what was left out.

    Attributes:
        rows: lines of the file.
        respelled: texts for which the tokenizer gives other tokens than the agent's.
        ties: contexts that were left out because all their answers have the same return.
        alone: contexts that were left out because they have only one answer.
    """

    rows: int
    respelled: int
    ties: int = 0
    alone: int = 0


def to_sft(dataset: EpisodeDataset, path: str | os.PathLike[str], chat: bool = False) -> Exported:
    """Writes every utterance of the agent with all that came before it. To select episodes, filter the data set first.

    Args:
        dataset: episodes with their tokenizer.
        path: the file to write.
        chat: whether to write messages; the tokenizer must have a chat template (``lang_envs.markup``).

    Raises:
        ValueError: ``chat`` is true and the tokenizer has no chat template.
    """
    text, limit = _Text(dataset.tokenizer(), chat), dataset.provenance.get("max_utterance_tokens")

    def rows() -> Iterator[Row]:
        for episode in counted(f"writing {Path(path).name}", len(dataset), dataset):
            for said in episode.utterances(text.end_id, limit):
                yield {
                    "prompt": text.prompt(episode, said.start),
                    "completion": text.completion(episode, said),
                    "reward": float(episode.rewards[said].sum()),
                }

    return Exported(_write(Path(path), rows()), text.respelled)


def to_preference(dataset: EpisodeDataset, path: str | os.PathLike[str], chat: bool = False) -> Exported:
    """Writes the answers with the highest and the lowest return to each context; of equal returns, the first answer.

    Two episodes have the same context if they open with the same tokens and have the same ``info["context"]``, if any.

    Args:
        dataset: episodes of one utterance each, several for a context (see :mod:`datasets_builders.samples`).
        path: the file to write.
        chat: whether to write messages; the tokenizer must have a chat template (``lang_envs.markup``).

    Raises:
        ValueError: an episode has several utterances or none, or ``chat`` is true and the tokenizer has no chat
            template.
    """
    text = _Text(dataset.tokenizer(), chat)
    limit = dataset.provenance.get("max_utterance_tokens")
    groups = _by_context(dataset, text.end_id, limit)
    returns = dataset.returns  # [B]
    chosen = [max(rows, key=lambda row: (returns[row], -row)) for rows in groups]
    rejected = [min(rows, key=lambda row: (returns[row], row)) for rows in groups]
    alone = sum(len(rows) == 1 for rows in groups)
    pairs = [(best, worst) for best, worst in zip(chosen, rejected, strict=True) if returns[best] > returns[worst]]

    def rows() -> Iterator[Row]:
        for best, worst in counted(f"writing {Path(path).name}", len(pairs), pairs):
            good, bad = dataset[best], dataset[worst]
            [better], [worse] = (episode.utterances(text.end_id, limit) for episode in (good, bad))
            yield {
                "prompt": text.prompt(good, better.start),
                "chosen": text.completion(good, better),
                "rejected": text.completion(bad, worse),
                "score_chosen": good.ret,
                "score_rejected": bad.ret,
            }

    written = _write(Path(path), rows())
    return Exported(written, text.respelled, ties=len(groups) - len(pairs) - alone, alone=alone)


class _Text:
    """Writes episodes as text or as messages; counts the texts for which the tokenizer gives other tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, chat: bool) -> None:
        self.tokenizer, self.chat, self.respelled = tokenizer, chat, 0
        self.end_id, self.end = int(tokenizer.eos_token_id), str(tokenizer.eos_token)
        self.markup = markup_of(tokenizer)
        if chat and self.markup is None:
            raise ValueError(
                "messages need a tokenizer with a chat template, by which turns are read; this task writes its text in "
                "another way: export plain text"
            )

    def prompt(self, episode: Episode, start: int) -> str | list[dict[str, str]]:
        """What the agent reads before token ``start``."""
        if self.chat and self.markup:
            return to_json(self.markup.read(episode.tokens[:start]))
        return transcripts(self.tokenizer, [episode.tokens[:start]])[0]

    def completion(self, episode: Episode, said: slice) -> str | list[dict[str, str]]:
        """What the agent says in the tokens ``said``."""
        tokens = episode.tokens[said]
        ended = tokens[-1] == self.end_id
        text = decode(self.tokenizer, [tokens[: len(tokens) - ended]])[0]
        text = self.markup.said(text) if self.markup else text
        self.respelled += not np.array_equal(spell(self.tokenizer, text, len(tokens)), tokens)
        return to_json([assistant(text)]) if self.chat else text + self.end * bool(ended)


def _by_context(dataset: EpisodeDataset, end_id: int, limit: int | None) -> list[list[int]]:
    groups: dict[tuple[Any, bytes], list[int]] = {}
    for row, episode in enumerate(counted("looking for answers to one context", len(dataset), dataset)):
        spans = episode.utterances(end_id, limit)
        if len(spans) != 1:
            raise ValueError(
                f"episode {row} has {len(spans)} utterances: preferences compare single ones; export it as sft"
            )
        opening = episode.tokens[: spans[0].start].tobytes()
        groups.setdefault((episode.info.get("context"), opening), []).append(row)
    return list(groups.values())


def _write(path: Path, rows: Iterable[Row]) -> int:
    count = 0
    with Claim(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count
