"""MultiWOZ-Goal: serve a simulated customer who has a goal of MultiWOZ, to the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lang_envs.conversation import Conversation, system, user
from lang_envs.corpora.multiwoz import annotated
from lang_envs.corpora.multiwoz.values import DOMAINS
from lang_envs.rewards.multiwoz_success import Evaluator, Offer
from lang_envs.task import Reply, Task
from lang_envs.tasks.multiwoz_customer import Customers, CustomerState, Said
from lang_envs.tasks.multiwoz_hearing import Hearing
from lang_envs.tasks.multiwoz_lookup import written
from lang_envs.tasks.multiwoz_words import Act, Words
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class MultiWOZGoal(Task[CustomerState]):
    """PAGE

    Attributes:
        goals: what the customers want, by context number.
        customers: who want it.
        database: what the agent's look-ups and the measures go by.
    """

    conversational = True
    splits = ("train", "validation", "test")
    needs_corpus = ("dialogue", "multiwoz")
    instruction = (
        "You are the agent of a tourist office in Cambridge. Before each of your turns you are shown what the database "
        "finds for what the customer has said, and the reference of a booking. Ask for what is missing, offer what was "
        "found by its name, answer questions with the values shown, say when nothing is found, and tell the reference "
        "of a booking. One or two short sentences."
    )

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        split: str = "train",
        domains: str | Sequence[str] = (),
        turn_cost: float = 0.02,
        patience: int = 3,
        max_turns: int = 15,
        max_utterance_tokens: int = 64,
    ) -> None:
        domains = domains.split(",") if isinstance(domains, str) else domains
        if unknown := [domain for domain in domains if domain not in DOMAINS]:
            raise ValueError(f"domains must be some of {list(DOMAINS)}, got {unknown[0]!r}")
        if not 0 <= turn_cost <= 1:
            raise ValueError(f"turn_cost must lie in [0, 1], got {turn_cost}")
        if patience < 1 or max_turns < 1 or max_utterance_tokens < 2:
            raise ValueError(
                "patience and max_turns must be at least 1 and max_utterance_tokens, with the end token, at least 2; "
                f"got {patience}, {max_turns} and {max_utterance_tokens}"
            )
        corpus = annotated.load(path)
        chosen = set(domains or DOMAINS)
        found = [a.goal for a in corpus.split(split) if a.goal.needs and chosen.issuperset(a.goal.domains)]
        if not found:
            raise ValueError(f"there is no goal in the split {split!r} that has needs in {sorted(chosen)} alone")
        self.goals, self.database = tuple(found), corpus.database
        self.num_contexts = len(self.goals)
        self.turn_cost, self.patience, self.max_turns = turn_cost, patience, max_turns
        self.max_utterance_tokens = max_utterance_tokens
        self.max_context_tokens = _OPENING_TOKENS
        self.max_tokens = _OPENING_TOKENS + max_turns * (max_utterance_tokens + _ANSWER_TOKENS)
        self.reward_range = (-turn_cost, 1.0 - turn_cost)
        self.customers = Customers(self.goals, self.database)
        self._words, self._hearing = Words(corpus.split("train"), self.database), Hearing(self.database)
        self._evaluator = Evaluator(self.database)

    def begin(self, rng: np.random.Generator) -> tuple[CustomerState, Conversation]:
        """Draws a goal, all equally likely."""
        return self.begin_at(int(rng.integers(len(self.goals))), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[CustomerState, Conversation]:
        """The customer of goal ``context`` says what they look for."""
        state, said = self.customers.begin(context)
        return state, self._spoken(state, said, rng)

    def reply(self, state: CustomerState, utterance: str, rng: np.random.Generator) -> Reply[CustomerState]:
        """The customer answers one turn of the agent.

        Raises:
            ValueError: where the conversation is over.
        """
        if state.over:
            raise ValueError("The conversation is over: begin a new one before the next turn.")
        state, said = self.customers.answer(state, self._hearing.hear(utterance))
        met = said is None
        state = state._replace(over=met or state.unhelpful >= self.patience or state.turn >= self.max_turns)
        if said is None or state.over:
            text = self._words.say("", False, [Act("done" if met else "gives_up")], rng)
            answer: Conversation = (user(text),)
        else:
            answer = self._spoken(state, said, rng)
        info = self._info(state, met)
        return Reply(state, answer, info["success"] - self.turn_cost, state.over, info)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged one for any text."""
        return text_tokenizer()

    def _spoken(self, state: CustomerState, said: Said, rng: np.random.Generator) -> Conversation:
        text = self._words.say(said.domain, said.opens, said.acts, rng)
        return system(written(self.customers, state)), user(text)

    def _info(self, state: CustomerState, met: bool) -> dict[str, Any]:
        goal = self.goals[state.context]
        inform = self._evaluator.informs(goal, {domain: Offer(keys, True) for domain, keys in state.offers})
        return {
            "context": state.context,
            "success": met and inform,
            "inform": inform,
            "joint_goal": met and state.in_full,
            "met": state.at / len(goal.needs),
        }


_OPENING_TOKENS = 256
_ANSWER_TOKENS = 160
