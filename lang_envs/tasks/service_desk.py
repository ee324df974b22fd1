"""Service desk: a whole conversation with a user who wants a booking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lang_envs.conversation import Conversation, system, user
from lang_envs.task import Reply, Task
from lang_envs.tasks.service_desk_acts import desk_of, screen
from lang_envs.tasks.service_desk_goals import goals
from lang_envs.tasks.service_desk_rules import MAX_TURNS, DeskState, Said, begun, respond
from lang_envs.tasks.service_desk_speech import read
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PATIENCE = (1, 1, 2, 3)
"""The annoyance at which a user leaves; each entry is equally likely."""


class ServiceDesk(Task[DeskState]):
    """## Description
    Serve a user from their first words to a booking. The user wants a restaurant or a hotel with certain values in
    three slots. They tell one or two of these values at first. They may change their mind, and may ask for a phone
    number and a street. They want a booking of two parts, and tell one part without being asked. The agent sees a
    desk's screen: the database's answer to everything that is known so far. It has to ask, offer, inform and book.
    Users lose patience: a question that was already answered, or an offer made too early, can end the conversation.

    There are two services with nine entities each. No two entities agree in two slots, so one known value leaves three
    entities, and two known values leave one. The user understands the agent's text by rules. As far as acts go, the
    task is a finite decision process (`lang_envs.tasks.service_desk_acts`), and dynamic programming computes its exact
    values (`service_desk_values`).

    ## Action Space
    `Discrete(2048)`: the tokens of `text_tokenizer()`. `<|end|>` ends a turn, which has at most 24 tokens. A turn is
    one move: the first of these that its text contains.

    * It **books** if it says that something is booked ("I have booked Rose for two people on Friday"). A question or an
      offer to book is no booking.
    * It **offers** if it names an entity that the user has not taken.
    * It **denies** if it says that there is none ("no", "nothing", "none"). If some entity fits, a question for a slot
      in the same text comes first.
    * It **tells** if it contains a value of the fact that the user waits for.
    * It **asks** if it is a question ("?", "which", "tell me" ...) about a slot. The first slot that it names counts.

    Upper and lower case are equal, and figures count as words. Besides the move, a statement about an entity (food,
    area, phone number ...) counts if it is untrue.

    ## Observation Space
    All tokens so far, at most 384. Before each of the user's turns a system message shows the screen. It has what is
    known and the entities that fit (`Thai, area ?, cheap: Rose`). Once the user has taken an entity, it has the
    entity's facts and the booking (`Rose, 940, Church Street: for two people, day ?`). Chat models also get an
    instruction with the rules.

    ## Starting State
    A goal of the split. All are equally likely, and `options={"context": i}` chooses one. There are 12,000 goals in
    `train`, 1,552 in `validation` and 2,000 in `test`; no goal is in two splits. Half of the users change their mind.
    Half of these do so when they are offered what they wanted. The other half want something that does not exist, and
    give up one value when they are told so. A quarter of the users has no request, half have one, and a quarter has
    two. The user's patience is drawn at random and is no part of the goal.

    A user is annoyed by

    * a question that they have already answered,
    * an offer that contradicts what they said, or a wrong offer while several entities fit what they said,
    * "there is none" although an entity fits,
    * a text that they do not understand.

    Half of the users leave when they are annoyed for the first time, a quarter at the second time, and a quarter at the
    third. An answer to a request counts only after the user has asked. They ask for one fact at a time.

    ## Rewards
    1 for success, paid with the booking that ends the conversation. Success means: the booked entity has everything
    that the user wants in the end, both parts of the booking are right, every request was answered, and nothing untrue
    was said. Each turn of the agent costs `turn_cost`.

    ## Episode End
    Terminates with a booking, right or wrong, when the user leaves, or after 8 turns, which are enough for every goal.
    Truncates when the context is full.

    ## Information
    At the end of each turn: `context` (int), the number of the goal; `inform` (bool), whether the entity named last is
    what the user wants in the end; `success` (bool); `joint_goal` (float), among the turns so far that named an entity
    or booked, the share that agreed with everything the user had said by then (0 if there is no such turn);
    `answered` (int), the number of requests answered, rightly or not; `annoyed` (int), how often the user was annoyed.

    ## Arguments
    * `split="train"`: or `"validation"`, `"test"`.
    * `turn_cost=0.02`: the cost of each turn of the agent.

    ## Reference Scores
    Exact means over all kinds of goals and users, except the last row, which is a mean of 2,000 episodes. In 2,000
    episodes of any split the mean returns are within two standard errors (0.001 for the expert, 0.011 for guesser and
    hasty) of these.

    | policy (`lang_envs.policies.service_desk`) | return | success | turns |
    |---|---|---|---|
    | the optimum, by dynamic programming | 0.895 | 1.00 | 5.25 |
    | `Expert(task)` | 0.895 | 1.00 | 5.25 |
    | `Hasty(task)`: opens badly, ends well | 0.472 | 0.54 | 3.48 |
    | `Guesser(task)`: opens well, ends badly | 0.248 | 0.33 | 4.25 |
    | `AnyAct(task)`: any act | -0.035 | 0.00 | 1.93 |
    | random tokens | -0.040 | 0.00 | 2.02 |

    Returns are noisy: an easy goal, a patient user or a lucky guess raises a return more than good service does. A
    lucky guess also saves a turn. The best returns in a log (recipe `service-desk`) are therefore those of guessers who
    guessed right and of hasty desks whose users stayed. Filtering by return keeps both bad habits. No desk in the log
    serves well from the first turn to the last. The opening of a conversation also tells how the desk will go on, so an
    agent that reads the whole conversation learns two desks with one bad habit each. With `slips=0.15` each desk does
    any act in some of its turns, so that the log holds good openings with good ends.

    ## Version History
    * v0: first version.

    Attributes:
        goals: the goals of the split's users.
    """

    conversational = True
    splits = ("train", "validation", "test")
    max_turns = MAX_TURNS
    max_utterance_tokens = 24
    max_context_tokens = 64
    max_tokens = 384
    instruction = (
        "You are a service desk for restaurants and hotels. Your screen shows what is known and what the database has. "
        "Do one thing in each turn, in one short sentence: ask for what is missing, offer one by its name, say that "
        "there is none, answer a question, or, once nothing is missing, say what you have booked, for whom and when."
    )

    def __init__(self, split: str = "train", turn_cost: float = 0.02) -> None:
        self.goals, self.split = goals(split), split
        self.num_contexts = len(self.goals)
        if not 0 <= turn_cost <= 1:
            raise ValueError(f"turn_cost must lie in [0, 1], got {turn_cost}")
        self.turn_cost = turn_cost
        self.reward_range = (-turn_cost, 1 - turn_cost)

    def begin(self, rng: np.random.Generator) -> tuple[DeskState, Conversation]:
        """Draws a goal."""
        return self.begin_at(int(rng.random() * len(self.goals)), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[DeskState, Conversation]:
        """Goal number ``context``, with a user whose patience is drawn."""
        state, said = begun(context, self.goals[context], PATIENCE[int(rng.random() * len(PATIENCE))])
        return state, _shown(state, said, rng)

    def reply(self, state: DeskState, utterance: str, rng: np.random.Generator) -> Reply[DeskState]:
        """Answers one turn.

        Raises:
            ValueError: the conversation is over.
        """
        if state.over:
            raise ValueError("The conversation is over: begin a new one before the next turn.")
        after, said = respond(state, read(state.goal.service, utterance))
        return Reply(after, _shown(after, said, rng), after.success - self.turn_cost, after.over, _facts(after))

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged tokenizer for any text."""
        return text_tokenizer()


def _shown(state: DeskState, said: Said, rng: np.random.Generator) -> Conversation:
    """What the agent sees: the screen and the user's words; at the end only the words."""
    words = user(" ".join(texts[int(rng.random() * len(texts))] for texts in said))
    return (words,) if state.over else (system(screen(desk_of(state))), words)


def _facts(state: DeskState) -> dict[str, bool | int | float]:
    return {
        "context": state.context,
        "joint_goal": state.agreed / state.stated if state.stated else 0.0,
        "inform": state.informed,
        "success": state.success,
        "answered": state.answered,
        "annoyed": state.annoyed,
    }
