"""MultiWOZ-Goal: serve a simulated customer who has a goal of MultiWOZ."""

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
from lang_envs.tasks.multiwoz_agenda import CustomerState, Said
from lang_envs.tasks.multiwoz_customer import Customers
from lang_envs.tasks.multiwoz_hearing import Hearing
from lang_envs.tasks.multiwoz_lookup import written
from lang_envs.tasks.multiwoz_words import Act, Words
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class MultiWOZGoal(Task[CustomerState]):
    """## Description
    Serve a customer of a tourist office from the first wish to the goodbye. The customer has a goal of MultiWOZ
    (Budzianowski et al. 2018, arXiv:1810.00278). It says what a restaurant, hotel, attraction or train must be like,
    what the customer will ask about it, and what they will book. Customers tell their wishes bit by bit and correct
    wrong offers. If the first wish cannot be met, they tell the second. They ask for attributes and a reference, and
    then go on to the next domain. The customer is simulated with an agenda (Schatzmann et al. 2007) and understands
    the agent by rules. Its sentences are people's user turns in the corpus with the same acts, with the values
    replaced. If the corpus has no such turn, a fixed phrase is used.

    Before each of the agent's turns the database answers everything that the customer has told so far. The agent has
    to ask, to offer, to say that nothing is found, and to tell the values that the database shows.

    ## Action Space
    `Discrete(2048)`: the tokens of `text_tokenizer()`. `<|end|>` ends a turn, which has at most 64 tokens
    (`max_utterance_tokens`).

    ## Observation Space
    All tokens so far, at most 3,136. Each turn has the database's answer (a system message), the customer's words and
    the agent's words. The first answer reads for example `restaurant (area: centre; food: indian): 9 found. curry
    garden (phone: 01223302330; postcode: cb21dp; ...). Also the gandhi, kohinoor. Booking (people: 2; day: monday;
    time: 18:00): AB12CD34.` Only one entity is shown with its attributes: the accepted one, or before that one of
    those found, which depends on the goal. The booking reads `more is needed`, `not available`, or shows its reference.

    ## Starting State
    A goal of the split. All are equally likely, and `options={"context": i}` chooses one. The customer opens with the
    first domain of the goal and one or two constraints.

    ## Rewards
    1 at the end if everything was served. Each turn costs 0.02 (`turn_cost`).

    ## Episode End
    Terminates when all needs are met, after three turns in a row that do not help (`patience`), or after 15 turns. A
    turn helps if it offers an entity that fits, gives a value that was asked for, books, or makes the customer say
    something new. It also helps if it says that nothing is found and the customer has a second wish. Never truncates,
    unless `max_tokens` is lowered.

    ## Information
    `context` (int), the number of the goal; `success` (bool), whether all needs are met and `inform` is true; `inform`
    (bool), whether the entity that the agent named last in each domain satisfies the goal
    (`lang_envs.rewards.multiwoz_success`); `joint_goal` (bool), whether all needs are met and the customer told every
    constraint and detail of the goal, so that the database was asked for the whole goal; `met` (float), the share of
    needs met.

    ## Arguments
    * `path=None`: the folder with MultiWOZ 2.1's dialogues, in ConvLab-2's form with goals, states and acts, and the
      databases in `db/`. By default the folder that the environment variable `LANG_ENVS_DATA` names is searched for
      `dialogue/multiwoz`, or the first folder whose name begins so. No such data are packaged.
    * `split="train"`: or `"validation"`, `"test"`. If the folder holds only one official split, its dialogues are
      split at random into 80, 10 and 10 %. The customer's words come from the dialogues in "train" in all splits.
    * `domains=()`: only goals whose domains are all among these, such as `"restaurant"` or `("train", "hotel")`; by
      default all goals.
    * `turn_cost=0.02`, `patience=3`, `max_turns=15`, `max_utterance_tokens=64`.

    ## Differences
    From people: the customer understands by rules and believes what it understands, even if the agent wrongly says that
    nothing is found. It takes the first offer that satisfies the goal. It changes its mind only as the goal says. Its
    sentences are drawn without regard to the agent's words. The database is asked for exactly what the customer told.
    The colour, make and number of a taxi are drawn for each goal. A taxi between two places of the goal leaves from the
    first of them. First wishes that the database can satisfy are left out, because the goal says that they fail.

    From the standard evaluation, which replaces the agent's turns in dialogues between people: here the conversations
    are the agent's own. Success counts all requests of the goal, not only phone, address, postcode and train number.
    The values must be those of the accepted entity, and the reference must be the one shown. A train must always be
    named. `lang-envs eval RUN --measure multiwoz` computes the standard measures of an agent of `Dialogue-*` with the
    corpus MultiWOZ.

    ## Reference Scores
    Measured with MultiWOZ 2.1's validation dialogues (999, split into three parts), split "train", over 1,000 episodes
    (200 of random tokens). The standard errors of the returns are below 0.01.

    | policy (`lang_envs.policies.multiwoz_goal`) | return | success | inform | joint goal | turns |
    |---|---|---|---|---|---|
    | random tokens | -0.060 | 0.000 | 0.225 | 0.000 | 3.0 |
    | `OpensWell`: offers well, answers no question | -0.033 | 0.067 | 0.595 | 0.067 | 5.0 |
    | `EndsWell`: opens badly, then serves well | 0.832 | 0.987 | 0.997 | 0.870 | 7.7 |
    | `Expert` | 0.872 | 0.994 | 1.000 | 0.802 | 6.1 |

    As in the standard evaluation, goals of a taxi and goals with a name count as informed without an offer. On the 999
    dialogues the human side has Inform 97.8 and Success 96.4 read as text, and 94.0 and 92.4 delexicalised. Published
    figures for the delexicalised test set are about 93 and 90. Read as text, the offer is the named entity; if several
    are named, one that fits is enough. Delexicalised, the offer is everything that the database finds for the annotated
    state, which is updated later than the dialogue.

    ## Version History
    * v0: first version.

    Attributes:
        goals: the customers' goals, by context number.
        customers: the simulated customers.
        database: the database of the agent's look-ups and of the measures.
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
        """Draws a goal; all are equally likely."""
        return self.begin_at(int(rng.integers(len(self.goals))), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[CustomerState, Conversation]:
        """The customer of goal ``context`` says what they are looking for."""
        state, said = self.customers.begin(context)
        return state, self._spoken(state, said, rng)

    def reply(self, state: CustomerState, utterance: str, rng: np.random.Generator) -> Reply[CustomerState]:
        """The customer answers one turn of the agent.

        Raises:
            ValueError: the conversation is over.
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
        """The packaged tokenizer for any text."""
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
_ANSWER_TOKENS = 128
