"""Service desk: a conversation with a user who wants something, to its end."""

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
"""The annoyance at which a user leaves, all places equally likely."""


class ServiceDesk(Task[DeskState]):
    """## Description
    Serve a user from their first words to a booking. The user wants a restaurant or a hotel with certain values in
    three slots, of which they say one or two at first; may change their mind; may ask for a phone number and a street;
    and wants a booking of two parts, of which they say one. The agent sees what a desk sees: what the database answers
    for all that is known so far. It must ask, offer, inform, book. Users lose patience, so that what is asked twice,
    or offered before it is known to fit, can end the conversation.

    Two services, with nine entities each. No two entities agree in two slots: one known value leaves three, two leave
    one. All is read by rules over text, and its value is known exactly: as far as acts go, it is a finite decision
    process (`lang_envs.tasks.service_desk_acts`), solved by dynamic programming (`service_desk_values`).

    ## Action Space
    `Discrete(2048)`: the tokens of `text_tokenizer()`; `<|end|>` ends a turn, which has 24 tokens at most. A turn is
    one move, the first of these that is in it:

    * it **books**, where it says that something is booked ("I have booked Rose for two people on Friday"); a question,
      or an offer to book, is none;
    * it **offers**, where it names an entity that the user has not taken;
    * it **denies**, where it says that there is none ("no", "nothing", "none"); where something fits, a question for a
      slot goes before;
    * it **tells**, where it has a value of the fact that the user waits for;
    * it **asks**, where it is a question ("?", "which", "tell me" ...) about a slot: the first one it names.

    Case does not matter, and figures are as good as words. What is said beside the move about an entity (food, area,
    phone number ...) counts where it is untrue.

    ## Observation Space
    All tokens so far, at most 384: before each turn of the user's a system message, the screen. It has what is known
    and the entities with these values (`Thai, area ?, cheap: Rose`); once the user has taken one, its facts and the
    booking (`Rose, 940, Church Street: for two people, day ?`). Chat models are told the rules besides.

    ## Starting State
    A goal of the split, all equally likely, or the one of `options={"context": i}`; 12,000 in `train`, 1,552 in
    `validation`, 2,000 in `test`, none in two. Half of them change their mind: half of these once they are offered what
    they wanted; the others want what does not exist, and give up one value when they are told so. A quarter has no
    request, a half one, a quarter two. How patient the user is is luck, and no part of the goal.

    A user is annoyed by a question that was answered, by an offer that contradicts what they said or misses what they
    wanted while others might have fitted, by "there is none" where there is one, and by what they do not understand.
    Half of the users leave when they are annoyed for the first time, half of the others at the second time, all at the
    third. A fact counts when it is asked for, one at a time.

    ## Rewards
    1 for success, with the booking that ends the conversation: what is booked has all that the user wants in the end,
    with both parts of the booking right, every request was answered, and nothing untrue was said. From each turn
    `turn_cost` is taken.

    ## Episode End
    Terminates with a booking, right or wrong; where the user leaves; or after 8 turns, which are enough for every goal.
    Truncates where the context is full.

    ## Information
    At the end of each turn: `context` (int), the goal's number; `inform` (bool), whether the entity named last is what
    the user wants in the end; `success` (bool); `joint_goal` (float), of the turns so far that named an entity or
    booked the share that agreed with everything the user had said by then, 0 before there is one; `answered` (int),
    requests answered, rightly or not; `annoyed` (int), annoyances.

    ## Arguments
    * `split="train"`: or `"validation"`, `"test"`.
    * `turn_cost=0.02`: of each turn of the agent's.

    ## Reference Scores
    Exact, over goals and users of all kinds, but for the last row, which is a mean of 2,000 episodes. In 2,000 episodes
    of any split the mean returns are within two standard errors (0.001 for the expert, 0.011 for guesser and hasty).

    | policy (`lang_envs.policies.service_desk`) | return | success | turns |
    |---|---|---|---|
    | the best desk there is, by dynamic programming | 0.895 | 1.00 | 5.25 |
    | `Expert(task)` | 0.895 | 1.00 | 5.25 |
    | `Hasty(task)`: opens badly, ends well | 0.472 | 0.54 | 3.48 |
    | `Guesser(task)`: opens well, ends badly | 0.248 | 0.33 | 4.25 |
    | `AnyAct(task)`: any act | -0.035 | 0.00 | 1.93 |
    | uniformly random tokens | -0.040 | 0.00 | 2.02 |

    Returns are noisy: easy goals, patient users and lucky guesses are worth more than good service. A lucky guess saves
    a turn, so that the best returns in a log (recipe `service-desk`) are those of guessers who guessed right and of
    hasty desks whose users stayed. Filtering by return keeps both habits; good from the first turn to the last is
    nobody in the log. How a conversation began tells how it will go on, though: who reads all of it sees two desks of
    one habit each. `slips=0.15` lets each desk do any act now and then, so that the log shows good ends to good
    beginnings.

    ## Version History
    * v0: first version.

    Attributes:
        goals: what the users of the split want.
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
        """Any goal."""
        return self.begin_at(int(rng.random() * len(self.goals)), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[DeskState, Conversation]:
        """Goal number ``context``, with a user of any patience."""
        state, said = begun(context, self.goals[context], PATIENCE[int(rng.random() * len(PATIENCE))])
        return state, _shown(state, said, rng)

    def reply(self, state: DeskState, utterance: str, rng: np.random.Generator) -> Reply[DeskState]:
        """Answers one turn.

        Raises:
            ValueError: where the conversation is over.
        """
        if state.over:
            raise ValueError("The conversation is over: begin a new one before the next turn.")
        after, said = respond(state, read(state.goal.service, utterance))
        return Reply(after, _shown(after, said, rng), after.success - self.turn_cost, after.over, _facts(after))

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged one for any text."""
        return text_tokenizer()


def _shown(state: DeskState, said: Said, rng: np.random.Generator) -> Conversation:
    """What the agent sees: the screen, and the user's words; at the end the words alone."""
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
