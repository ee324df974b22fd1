"""The text formats of TRL's trainers (https://huggingface.co/docs/trl/dataset_formats), as JSON lines.

``sft``         {"prompt", "completion", "reward"}: one line for each utterance of the agent
``preference``  {"prompt", "chosen", "rejected", "score_chosen", "score_rejected"}: one line for each context, its best
                and its worst answer by return

Each is written as plain text, just as the agent reads and says it, or as chat messages. The trainers ignore the columns
of numbers, and ``datasets.load_dataset("json", data_files=path)`` reads the files.

``EpisodeDataset.from_rows`` reads them, plain text with ``Options(plain=True)``. Text is not tokens: what comes back is
spelled by the tokenizer anew. A file that is read and written again is the same file. An episode of one utterance comes
back with its tokens and its reward, but without its info and what was said after it, unless it was drawn with another
spelling of its text (``respelled`` counts these) or cut before its end.
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
    """What was written, and what was not.

    Attributes:
        rows: lines of the file.
        respelled: texts that the tokenizer spells with other tokens than were said.
        ties: contexts whose answers all have the same return; left out.
        alone: contexts with one answer only; left out.
    """

    rows: int
    respelled: int
    ties: int = 0
    alone: int = 0


def to_sft(dataset: EpisodeDataset, path: str | os.PathLike[str], chat: bool = False) -> Exported:
    """Writes every utterance of the agent with all that came before it; filter the episodes first, if at all.

    Args:
        dataset: episodes with their tokenizer.
        path: of the file.
        chat: write messages, for episodes whose tokenizer has a chat template (``lang_envs.markup``).

    Raises:
        ValueError: where ``chat`` is asked for and the tokenizer has no chat template to read turns by.
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
    """Writes the best and the worst answer to each context, by return; of equals the first.

    Episodes belong together where they open with the same tokens and have the same ``info["context"]``, if any.

    Args:
        dataset: episodes of one utterance each, several to a context (see :mod:`datasets_builders.samples`).
        path: of the file.
        chat: write messages, for episodes of a text task.

    Raises:
        ValueError: for an episode of several utterances or none, or, where ``chat`` is asked for, a tokenizer without a
            chat template.
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
    """Episodes as text or as messages; counts what the tokenizer would spell in another way."""

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
        """What is read before token ``start``."""
        if self.chat and self.markup:
            return to_json(self.markup.read(episode.tokens[:start]))
        return transcripts(self.tokenizer, [episode.tokens[:start]])[0]

    def completion(self, episode: Episode, said: slice) -> str | list[dict[str, str]]:
        """What is said in the tokens ``said``."""
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
