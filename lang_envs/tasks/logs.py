"""Logs: one reply in a conversation of an imported log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lang_envs.adoption import adopt
from lang_envs.arguments import whole_number
from lang_envs.conversation import Conversation, to_json
from lang_envs.corpora.files import read_json
from lang_envs.corpora.logged import Conversations, Replies
from lang_envs.rewards.checks import checked
from lang_envs.rewards.reply_rewards import ReplyReward, reply_reward
from lang_envs.rewards.similarities import NAMES, Similarity, similarity_of
from lang_envs.task import Reply, Task
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPLITS = ("train", "held-out", "all")
LIKENESS = "likeness"
_MOST_CONTEXT, _MOST_RESPONSE = 768, 256  # tokens, if the data set states no limits
_DECIMALS = 3  # a model's last bits depend on what else is in the batch


class Logs(Task[int]):
    """## Description
    Say the next thing in a conversation of an imported log. `lang-envs import FILE --out data/x` makes a data set from
    chats, prompts with answers, or rated replies. This environment plays in its conversations. The agent reads the
    conversation before one reply of the log's agent, and says its own reply. One reply is the whole episode. Later
    turns continue from the logged reply.

    ```
    env = gym.make("Logs-v0", data="data/x", reward="bertscore")
    ```

    ## Action Space
    `Discrete(V)`: the tokens of the data set's tokenizer. Its end token ends the reply. A reply has at most
    `max_response_tokens` tokens, the end token included.

    ## Observation Space
    All tokens so far, at most `max_context_tokens + max_response_tokens`: the conversation as the tokenizer's chat
    template writes it, and the reply. If a conversation is too long, its oldest turns are left out. If a single turn
    alone is too long, its first words are left out. System messages stay.

    ## Starting State
    Any place in the log where its agent replies. All are equally likely, and `reset(options={"context": i})` chooses
    one. Places with exactly the same conversation before them are one context with several logged replies. Contexts are
    numbered in the order of the log.

    ## Rewards
    A log does not say what another reply would have earned. By default there is therefore no reward: every reward is 0,
    the info says `rewarded: False`, and nothing is chosen or compared by it. With `reward=` the reward is paid on the
    reply's last token, rounded to three decimals:

    * `"likeness"` (the same as `"bertscore"`), `"bertclick"`, `"bleu"`, `"chrf"` or `"meteor"`: similarity to the
      logged replies (`lang_envs.rewards.bertscore`, `lang_envs.rewards.overlap`). The most similar of several logged
      replies counts. If the log rates them, only the replies with the highest rating count.
    * the path of a sequence-classification model. A model with a single output reads the conversation so far, its texts
      separated by blank lines, and the reply as a pair of texts. Any other model reads only the reply, and the reward
      is the probability of its second label. The names of the packaged classifiers work in the same way.
    * `"module:function"` or any callable `(prompts, replies) -> array [n]`. A prompt is the list of all earlier
      messages `{"role": ..., "content": ...}`. `lang-envs import --reward` takes the same functions. A module that only
      a file names is not imported without `--import MODULE`.

    Evaluate a policy that was trained on one of them with another one too.

    ## Episode End
    Terminates with the reply. Never truncates, unless `max_tokens` is lowered.

    ## Information
    At the end: `context` (int), the number of the context; `rewarded` (bool), whether there is a reward.

    ## Arguments
    * `data`: the folder of the data set. It is required.
    * `split="train"`: the conversations for training; `"held-out"`: the conversations that `lang-envs import
      --held-out` kept out of the data set, without contexts that are in both; or `"all"`.
    * `reward=None`: see above.
    * `max_context_tokens=None`, `max_response_tokens=None`: by default the limits of the import, or 768 and 256 if the
      data set has none.

    The file `conversations.arrow` with the texts is memory-mapped (`lang_envs.corpora.logged`), so a log may be larger
    than memory.

    ## Reference Scores
    None, because they depend on the log. `lang_envs.scores.measure` measures any policy. `task.logged_replies(i)`
    returns the logged replies of a context.

    ## Version History
    * v0: first version.

    Attributes:
        conversations: of the data set.
        pays: whether rewards mean anything.
    """

    max_turns = 1
    conversational = True

    def __init__(
        self,
        data: str | os.PathLike[str],
        split: str = "train",
        reward: str | os.PathLike[str] | ReplyReward | None = None,
        max_context_tokens: int | None = None,
        max_response_tokens: int | None = None,
    ) -> None:
        self.data = Path(data)
        self.conversations = Conversations(self.data)
        most = _limits(self.data)
        self.max_context_tokens = most[0] if max_context_tokens is None else max_context_tokens
        self.max_utterance_tokens = most[1] if max_response_tokens is None else max_response_tokens
        if self.max_context_tokens < 1 or self.max_utterance_tokens < 2:
            raise ValueError(
                "max_context_tokens must be at least 1 and max_response_tokens, with the end token, at least 2; "
                f"got {self.max_context_tokens} and {self.max_utterance_tokens}"
            )
        self.max_tokens = self.max_context_tokens + self.max_utterance_tokens
        self._contexts = _Contexts(self.conversations, split)
        self.num_contexts = len(self._contexts)
        self.pays = reward is not None
        self._similarity, self._reward = _rewards_of(reward)
        self._tokenizer: PreTrainedTokenizerFast | None = None

    def begin(self, rng: np.random.Generator) -> tuple[int, Conversation]:
        """Draws a context, all equally likely."""
        return self.begin_at(int(rng.integers(len(self._contexts))), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[int, Conversation]:
        """The conversation before the replies of ``context``; the state is the number of the context."""
        return context, self.conversation(context)

    def conversation(self, context: int) -> Conversation:
        """The conversation before the replies of ``context``."""
        row, place = self._contexts.places(context)[0]
        return self.conversations.messages(row, place)

    def reply(self, state: int, utterance: str, rng: np.random.Generator) -> Reply[int]:
        """Computes the reward of the reply."""
        return self.reply_batch([state], [utterance], [rng])[0]

    def reply_batch(
        self, states: Sequence[int], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[int]]:
        """Computes the rewards of all replies in one call.

        Raises:
            ValueError: the reward does not give one finite number for each reply.
        """
        rewards = self._rewards(states, utterances).round(_DECIMALS)  # [n]
        return [
            Reply(state, (), reward, True, {"context": state, "rewarded": self.pays})
            for state, reward in zip(states, rewards.tolist(), strict=True)
        ]

    def logged_replies(self, context: int) -> tuple[str, ...]:
        """The logged replies to a context, in the order of the log."""
        places = self._contexts.places(context)
        return tuple(self.conversations.messages(row, place + 1)[place].content for row, place in places)

    def best_replies(self, context: int) -> tuple[str, ...]:
        """The logged replies with the highest rating; all of them if the log rates none."""
        rated = [self.conversations.reward(row, place) for row, place in self._contexts.places(context)]
        best = max((reward for reward in rated if reward is not None), default=None)
        return tuple(text for text, reward in zip(self.logged_replies(context), rated, strict=True) if reward == best)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of the data set; the packaged one if it has none."""
        if self._tokenizer is None:
            own = self.data / "tokenizer"
            self._tokenizer = adopt(own) if own.is_dir() else text_tokenizer()
        return self._tokenizer

    def _rewards(self, states: Sequence[int], utterances: Sequence[str]) -> NDArray[np.float64]:
        """The rewards [n] before they are rounded."""
        if self._reward is not None:
            return checked(self._reward([to_json(self.conversation(i)) for i in states], utterances), len(states))
        if self._similarity is None:
            return np.zeros(len(states))
        references = [self.best_replies(state) for state in states]
        said = [utterance for utterance, own in zip(utterances, references, strict=True) for _ in own]
        near = checked(self._similarity(said, [text for own in references for text in own]), len(said))
        return np.maximum.reduceat(near, np.cumsum([0, *map(len, references[:-1])]))


class _Contexts:
    """The C contexts of a split, each with its logged replies; R replies in all."""

    def __init__(self, conversations: Conversations, split: str) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        replies = conversations.replies()
        chosen = _in_split(conversations, replies, split)  # [R] whether each reply is in the split
        _, first, which = np.unique(replies.prompt[chosen], return_index=True, return_inverse=True)
        number = np.empty(len(first), np.int64)  # [C] the number of each prompt, in the order of the log
        number[np.argsort(first)] = np.arange(len(first))
        which = number[which.reshape(-1)]  # [R] the context of each reply
        order = np.argsort(which, kind="stable")  # [R]
        self._rows, self._places = replies.conversation[chosen][order], replies.place[chosen][order]  # [R] each
        self._first = np.searchsorted(which[order], np.arange(len(first) + 1))  # [C + 1]

    def __len__(self) -> int:
        return len(self._first) - 1

    def places(self, context: int) -> list[tuple[int, int]]:
        """The numbers of the conversation and of the message for each reply to a context."""
        span = slice(self._first[context], self._first[context + 1])
        return list(zip(self._rows[span].tolist(), self._places[span].tolist(), strict=True))


def _in_split(conversations: Conversations, replies: Replies, split: str) -> NDArray[np.bool_]:
    """Whether each of R replies belongs to a split, [R].

    Raises:
        ValueError: no reply does.
    """
    held_out = conversations.held_out[replies.conversation]  # [R]
    chosen = np.ones(len(held_out), np.bool_)
    if split == "train":
        chosen = ~held_out
    elif split == "held-out":
        chosen = held_out & ~np.isin(replies.prompt, replies.prompt[~held_out])
    if not chosen.any():
        have = f"{len(held_out)} replies in it, {int(held_out.sum())} of them held out"
        raise ValueError(
            f"{conversations.folder} has no context in the split {split!r}: there are {have}. Choose another of "
            f"{SPLITS}, or import the log with another --held-out."
        )
    return chosen


def _limits(folder: Path) -> tuple[int, int]:
    """The largest numbers of tokens of a context and of a reply, from the import of the data set."""
    file = folder / "provenance.json"
    found: Any = read_json(file) if file.is_file() else None
    for key in ("env", "kwargs"):
        found = found.get(key) if isinstance(found, dict) else None
    told = found if isinstance(found, dict) else {}
    usual = {"max_context_tokens": _MOST_CONTEXT, "max_response_tokens": _MOST_RESPONSE}
    context, response = (whole_number(told.get(name, most), f"{file}: {name}", 1) for name, most in usual.items())
    return context, response


def _rewards_of(reward: Any) -> tuple[Similarity | None, ReplyReward | None]:
    """The similarity to logged replies, or the reward of replies, that ``reward`` names; both None if it is None."""
    if reward is None:
        return None, None
    if callable(reward):
        return None, reward
    name = "bertscore" if reward == LIKENESS else str(reward)
    if name in NAMES:
        return similarity_of(name), None
    try:
        return None, reply_reward(name)
    except ValueError as error:
        known = [LIKENESS, *NAMES]
        raise ValueError(f"a reward is one of {known}, 'module:function', or the path of a model: {error}") from error
