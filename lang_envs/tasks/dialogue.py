"""Dialogue: one reply in a logged conversation, rewarded by its similarity to the human agent's reply."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lang_envs.conversation import Conversation
from lang_envs.corpora.dialogues import by_name
from lang_envs.rewards.bertscore import BERTClick
from lang_envs.rewards.checks import checked
from lang_envs.rewards.similarities import Similarity, similarity_of
from lang_envs.task import Reply, Task
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_DECIMALS = 3  # a model's last bits depend on what else is in the batch


class Dialogue(Task[int]):
    """## Description
    Say the next thing in a conversation between a user and an agent. The agent reads the conversation so far and says
    one reply. The reward is the similarity of the reply to what the human agent said. One reply is the whole episode:
    the user never answers, and later turns continue from the human reply. The setting is that of Sodhi, Wu, Elenberg,
    Weinberger and McDonald (2023), "On the Effectiveness of Offline RL for Dialogue Response Generation",
    arXiv:2307.12425.

    Exact imitation earns the full reward. A similarity allows many correct replies: the same meaning in other words
    earns more than a fluent reply to something else.

    ## Action Space
    `Discrete(2048)`: the tokens of `lang_envs.tokenizers.text_tokenizer()`, byte-level BPE. `<|end|>` ends the reply,
    which has at most 32 tokens (`max_response_tokens`, the end token included).

    ## Observation Space
    All tokens so far, at most 128: the conversation, written as `<|user|>a room please<|agent|>For which
    day?<|end|><|user|>Friday<|agent|>`, and the reply. If a conversation has more than 96 tokens
    (`max_context_tokens`), its oldest turns are left out. If a single turn alone is too long, its first words are left
    out.

    ## Starting State
    Any turn of an agent in the corpus. All are equally likely, and `reset(options={"context": i})` chooses one. An
    agent that opens the conversation reads only `<|agent|>`.

    ## Rewards
    Paid on the reply's last token, rounded to three decimals:

    * `Dialogue-BERTScore-v0`: F1 of BERTScore, rescaled. It is 1 for the human reply, about 0 for any other text, and
      below 0 for nonsense.
    * `Dialogue-BERTClick-v0`: 1 if this F1 is above 0.6, otherwise 0. It models whether a human agent would click on
      the suggested reply.
    * `Dialogue-BLEU-v0`, `Dialogue-chrF-v0` and `Dialogue-METEOR-v0`: sentence BLEU, chrF and METEOR, from 0 to 1.

    `lang_envs.rewards.bertscore` and `lang_envs.rewards.overlap` define these scores. Evaluate a policy that was
    trained on one of them with another one too. On MultiWOZ, `lang-envs eval RUN --measure multiwoz --env-options
    corpus=multiwoz split=validation` reports Inform, Success, BLEU and Combined: the agent says the agent's turns of
    whole dialogues (`agents.evaluation.multiwoz`).

    ## Episode End
    Terminates with the reply. Never truncates, unless `max_tokens` is lowered.

    ## Information
    At the end: `context` (int), the number of the example; `similarity` (float), the reward before any threshold.

    ## Arguments
    * `reward="bertscore"`: `"bertscore"`, `"bertclick"`, `"bleu"`, `"chrf"`, `"meteor"`; the path or hub name of a
      sequence-regression model such as BLEURT; or any callable `(candidates, references) -> array [n]`, such as
      `BERTScore("roberta-large")`.
    * `corpus="service"`: the built-in corpus; `"multiwoz"`, `"sgd"`, `"abcd"`, `"taskmaster"`; `"taskmaster-feedback"`,
      the replies that people approved of in Taskmaster's human ratings; or the path of a file of JSON lines, `{"id":
      ..., "split": ..., "turns": [{"speaker": "user" | "agent", "text": ...}, ...]}` (the split is optional).
    * `path=None`: folder of the files of a named corpus. By default it is `dialogue/<corpus>` in the folder of the
      environment variable `LANG_ENVS_DATA`, or the first folder there whose name begins like this.
    * `split="train"`: or `"validation"`, `"test"`. No dialogue is in two splits. They are the official splits if the
      files name them, otherwise a random 80, 10 and 10 % of the dialogues.
    * `max_context_tokens=96`, `max_response_tokens=32`: limits in tokens of the conversation and of the reply.

    The built-in corpus has 3,000 artificial dialogues with eight services (19,700 replies, 15,760 of them in "train").
    The context determines what to say, but not how to say it. The corpus does not replace human text: see
    `lang_envs.corpora.dialogues.service`.

    ## Reference Scores
    Mean rewards. The human reply of an episode earns 1, except for METEOR's penalty and for replies cut at 32 tokens.
    `HumanReply` earns less because it only knows the visible context, and equal contexts had different replies. The
    optimum for the visible context is not known.

    The built-in corpus, "train", 2,000 episodes, standard errors below 0.012:

    | policy (`lang_envs.policies.dialogue`) | BERTScore | BERTClick | BLEU | chrF | METEOR |
    |---|---|---|---|---|---|
    | random tokens | -0.169 | 0.000 | 0.003 | 0.136 | 0.008 |
    | `RandomReply`, any reply of the corpus | -0.040 | 0.007 | 0.044 | 0.134 | 0.113 |
    | the empty reply | 0.000 | 0.000 | 0.000 | 0.000 | 0.000 |
    | `NearestReply`, that of the nearest other context | 0.320 | 0.205 | 0.200 | 0.320 | 0.357 |
    | `Paraphrase`, the human meaning in other words | 0.535 | 0.453 | 0.355 | 0.483 | 0.535 |
    | `HumanReply`, the expert | 0.964 | 0.956 | 0.949 | 0.957 | 0.961 |

    MultiWOZ 2.1, "validation" (999 dialogues, 7,365 replies), 1,000 episodes (500 of BERTScore), standard errors below
    0.01:

    | policy | BERTScore | BERTClick | BLEU | chrF | METEOR |
    |---|---|---|---|---|---|
    | random tokens | -0.132 | 0.000 | 0.003 | 0.157 | 0.007 |
    | `RandomReply` | -0.029 | 0.004 | 0.025 | 0.150 | 0.100 |
    | `NearestReply` | 0.134 | 0.024 | 0.049 | 0.204 | 0.176 |
    | `HumanReply` | 0.974 | 0.998 | 0.944 | 0.962 | 0.953 |

    ## Version History
    * v0: first version.

    Attributes:
        examples: what may be asked for, by context number.
        similarity: (candidates, references) -> [n].
        threshold: the similarity above which 1 is paid and else 0; None where the similarity itself is paid.
    """

    max_turns = 1
    conversational = True
    splits = ("train", "validation", "test")
    instruction = (
        "You are the agent of a service and talk with a customer. Say the agent's next turn, as a person would: one or "
        "two short sentences."
    )

    def __init__(
        self,
        reward: str | os.PathLike[str] | Similarity = "bertscore",
        corpus: str | os.PathLike[str] = "service",
        split: str = "train",
        path: str | os.PathLike[str] | None = None,
        max_context_tokens: int = 96,
        max_response_tokens: int = 32,
    ) -> None:
        if max_context_tokens < 1 or max_response_tokens < 2:
            raise ValueError(
                "max_context_tokens must be at least 1 and max_response_tokens, with the end token, at least 2; "
                f"got {max_context_tokens} and {max_response_tokens}"
            )
        self.corpus, self.split, self.path = str(corpus), split, path
        self.examples = by_name.load(corpus, split, path)
        self.num_contexts = len(self.examples)
        self.max_context_tokens, self.max_utterance_tokens = max_context_tokens, max_response_tokens
        self.max_tokens = max_context_tokens + max_response_tokens
        pays = reward if callable(reward) else similarity_of(str(reward))
        self.threshold = pays.threshold if isinstance(pays, BERTClick) else None
        self.similarity = pays.similarity if isinstance(pays, BERTClick) else pays
        if self.threshold is not None or reward in ("bleu", "chrf", "meteor"):
            self.reward_range = (0.0, 1.0)
        self._tokenizer: PreTrainedTokenizerFast | None = None

    def begin(self, rng: np.random.Generator) -> tuple[int, Conversation]:
        """Draws a context, all equally likely."""
        return self.begin_at(int(rng.integers(len(self.examples))), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[int, Conversation]:
        """The conversation before the reply of example ``context``; the state is the example's number."""
        return context, self.examples[context].context

    def reply(self, state: int, utterance: str, rng: np.random.Generator) -> Reply[int]:
        """Compares the reply with the human's."""
        return self.reply_batch([state], [utterance], [rng])[0]

    def reply_batch(
        self, states: Sequence[int], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[int]]:
        """Compares all replies in one call.

        Raises:
            ValueError: the reward does not give one finite number for each reply.
        """
        references = [self.examples[state].response for state in states]
        similarity = checked(self.similarity(utterances, references), len(states)).round(_DECIMALS)  # [n]
        rewards = similarity if self.threshold is None else (similarity > self.threshold).astype(np.float64)
        return [
            Reply(state, (), reward, True, {"context": state, "similarity": near})
            for state, reward, near in zip(states, rewards.tolist(), similarity.tolist(), strict=True)
        ]

    def logged_replies(self, context: int) -> tuple[str]:
        """The human agent's reply."""
        return (self.examples[context].response,)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged tokenizer for any text; ``<|end|>`` ends the reply."""
        if self._tokenizer is None:
            self._tokenizer = text_tokenizer()
        return self._tokenizer
