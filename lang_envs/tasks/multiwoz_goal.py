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
    (Budzianowski et al. 2018, arXiv:1810.00278): what a restaurant, hotel, attraction or train must be, what to ask
    about it, what to book. They tell it bit by bit, correct wrong offers, settle for their second wish where the first
    is not to be had, ask for attributes and a reference, and go on to the next thing. The customer is an agenda
    (Schatzmann et al. 2007) that understands the agent by rules, and speaks as people spoke in the corpus: user turns
    with the same acts, their values replaced, or a phrase where nobody said so.

    The database answers before each of the agent's turns, to all that the customer has told so far: it is the agent's
    part to ask, to offer, to say no, and to tell the values that are shown.

    ## Action Space
    `Discrete(2048)`: the tokens of `text_tokenizer()`; `<|end|>` ends a turn, which has 64 tokens at most
    (`max_utterance_tokens`).

    ## Observation Space
    All tokens so far, at most 3,136: what the database finds (a system message), the customer's words, the agent's, by
    turns. The first reads such as `restaurant (area: centre; food: indian): 9 found. curry garden (phone: 01223302330;
    postcode: cb21dp; ...). Also the gandhi, kohinoor. Booking (people: 2; day: monday; time: 18:00): AB12CD34.` Of what
    is found the first is shown in full, another for each goal, and the accepted one once there is one. A booking reads
    `more is needed`, `not available`, or shows its reference.

    ## Starting State
    A goal of the split, all equally likely, or the one of `options={"context": i}`. The customer opens with the first
    domain that they were told of, and one or two constraints.

    ## Rewards
    1 at the end where everything was served, less 0.02 for every turn (`turn_cost`).

    ## Episode End
    Terminates when all needs are met, after three turns in a row that do not help (`patience`), or after 15 turns. A
    turn helps where it offers what fits, gives a value that was asked for, books, makes the customer say something new,
    or says that nothing is found where they have a second wish. Never truncates, unless `max_tokens` is made smaller.

    ## Information
    `context` (int); `success` (bool), all needs met, and `inform`; `inform` (bool), whether what the agent named last
    in each domain satisfies the goal (`lang_envs.rewards.multiwoz_success`); `joint_goal` (bool), whether all needs are
    met and the customer told every constraint and detail of the goal, so that the whole goal was looked up; `met`
    (float), the share of needs met.

    ## Arguments
    * `path=None`: the folder with MultiWOZ 2.1's dialogues, in ConvLab-2's form with goals, states and acts, and the
      databases in `db/`. By default it is looked up in the folder that the environment variable `LANG_ENVS_DATA` names,
      as `dialogue/multiwoz` or the first folder there whose name begins so. Nothing is packaged.
    * `split="train"`: or `"validation"`, `"test"`. Where the folder holds one official split alone, its dialogues are
      dealt out at random, 80, 10 and 10 %. The words are those of the dialogues in "train" in all splits.
    * `domains=()`: only goals whose domains are all among these, such as `"restaurant"` or `("train", "hotel")`; all by
      default.
    * `turn_cost=0.02`, `patience=3`, `max_turns=15`, `max_utterance_tokens=64`.

    ## Where It Departs
    From people: the customer hears by rules and believes what it hears, also that nothing is found where something is;
    takes the first offer that satisfies the goal; never changes their mind beyond what the goal says; and says
    sentences that are drawn without regard to the agent's. What was told is tracked without a mistake. Of taxis the
    colour, the make and the number are drawn for each goal; a taxi between two places of the goal leaves from the first
    of them. First wishes that the database can satisfy are left out, since the goal says they fail.

    From the standard evaluation, which replaces turns in dialogues of people: here conversations are the agent's own.
    All requests of the goal count for success, not phone, address, postcode and train number alone; their values must
    be those of the entity that was accepted, and the reference the one that is shown. A train must be named in any
    case. The standard measures, of an agent of `Dialogue-*` with MultiWOZ as its corpus, come from `lang-envs eval RUN
    --measure multiwoz`.

    ## Reference Scores
    MultiWOZ 2.1's validation dialogues (999, in three parts), split "train", 1,000 episodes (200 of random tokens),
    standard errors of returns below 0.01:

    | policy (`lang_envs.policies.multiwoz_goal`) | return | success | inform | joint goal | turns |
    |---|---|---|---|---|---|
    | uniformly random tokens | -0.060 | 0.000 | 0.225 | 0.000 | 3.0 |
    | `OpensWell`: offers well, tells nothing | -0.033 | 0.067 | 0.595 | 0.067 | 5.0 |
    | `EndsWell`: fumbles, then serves well | 0.832 | 0.987 | 0.997 | 0.870 | 7.7 |
    | `Expert` | 0.872 | 0.994 | 1.000 | 0.802 | 6.1 |

    Goals of a taxi, or with a name, inform without an offer, as the standard has it. On the 999 dialogues the human
    side has Inform 97.8 and Success 96.4 read as text, and 94.0 and 92.4 delexicalised; published for the delexicalised
    test set are about 93 and 90. As text, an offer is what was named, and one of several that are named will do;
    delexicalised it is all that the database finds for the annotated state, which lags behind what was said.

    ## Version History
    * v0: first version.

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
_ANSWER_TOKENS = 128
