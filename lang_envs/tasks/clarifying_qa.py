"""Clarifying QA: ask back before you answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from lang_envs.conversation import Conversation, assistant, mirrored, system, user
from lang_envs.corpora.questions import LETTERS, Question, ambiguous, read_questions
from lang_envs.corpora.questions.ambiguous import AmbiguousCase
from lang_envs.corpora.questions.hinted import HintedCase
from lang_envs.task import Reply, Task
from lang_envs.tasks.clarifying_speech import THINK, THOUGHT, Said, read
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CORPORA: dict[str, tuple[str, bool]] = {
    "ambiguous": ("train", True),
    "ambiguous-test": ("test", True),
    "sorted": ("train", False),
    "sorted-test": ("test", False),
}
"""Pools of the built-in world, and whether the choices are shuffled."""
"""The built-in corpora, and the pools of :func:`lang_envs.corpora.questions.ambiguous.cases` that they are."""
LAST_CALL = "Please give me your answer now."
_GO_ON, _NOTED, _I_SEE = "Go on.", "Noted.", "I see."


class User(Protocol):
    """The user who asked the question and answers the agent's questions, for example a served model."""

    def answer(self, conversations: Sequence[Conversation]) -> list[str]:
        """The user's next message in each conversation.

        A conversation is written from the user's point of view: its "assistant" is the user, and its "user" is the
        agent. The system message says who the user is, what they know and what they must not tell.
        """
        ...


class QAState(NamedTuple):
    """A conversation so far."""

    context: int
    """the question's number"""
    turn: int = 0
    """number of utterances of the agent"""
    asked: int = 0
    """number of clarifying questions among them"""
    thought: bool = True
    """whether every utterance held a thought"""
    said: Conversation = ()
    """the messages after the opening, without the agent's thoughts"""
    over: bool = False


class ClarifyingQA(Task[QAState]):
    """## Description
    A user asks a multiple-choice question that depends on something they did not say. The agent has three turns. In
    each it thinks, asks back, or answers. The answer of the last turn counts. In the built-in world the choices serve
    different needs, and the user tells a need when asked about it. An agent that answers at once can only guess among
    the plausible choices. The right questions make the answer certain. Other questions waste turns. The setting is that
    of Mukherjee et al. (2025, arXiv:2506.06964), with a scripted user, and with a reward by rule instead of a judge.

    ## Action Space
    `Discrete(2048)`: the tokens of `text_tokenizer()`. `<|end|>` ends a turn, which has at most 64 tokens. The user
    does not hear text between `<think>` and `</think>`. A turn states an answer if it contains "the answer is B",
    "Answer: (B)", "the right choice is B" or the like, or if it is only the letter. The letter is a capital, and the
    last one counts. Any other turn with a question mark is a question.

    ## Observation Space
    All tokens so far, at most 800 (320, and 160 for each turn): the rules, the question with its choices from A on, and
    the turns. If rules and question have more than 320 tokens, the first words of the question are left out.

    ## Starting State
    A question of the corpus. All are equally likely, and `options={"context": i}` chooses one. The built-in world has
    4,096 questions, and 1,024 others in `corpus="ambiguous-test"`, about jackets, computers, dishes, rooms, plants and
    presents. There are three kinds, each about a third: the choices differ in one need that the user does not state; in
    two needs, one of them stated in the question, which excludes some choices; in two needs, neither of them stated. A
    question's user always wants the same, so an agent can memorise the pool; `ambiguous-test` shows whether it did. In
    `"sorted"` and `"sorted-test"` the choices have a fixed order, so that a small model can learn which letter belongs
    to which need without looking it up first.

    ## Rewards
    At the end, in [0, 1]: `(1 - format_weight) * correct + format_weight * format_ok`. 0 before.

    ## Episode End
    Terminates after `horizon` turns. With `fixed_horizon=False` it also terminates as soon as an answer is stated.
    Truncates if the context is full.

    ## Information
    At the end of each turn: `context` (int), the question's number; `asked` (int), the number of questions so far. For
    this turn: `answered` (bool), whether it stated an answer; `correct` (bool), whether the answer is right;
    `format_ok` (bool), whether it contains "answer is X" with one X, outside closed tags. With `thinking=True`,
    `format_ok` also requires a thought in every turn so far.

    ## Arguments
    * `corpus="ambiguous"`: or `"ambiguous-test"`, `"sorted"`, `"sorted-test"`; the path of a file of questions (ARC,
      OpenBookQA, SciQ, MMLU, CosmosQA, MathDial and others: see `lang_envs.corpora.questions.read_questions`); or the
      beginning of a file name in the folder `qa` of `$LANG_ENVS_DATA`, such as `"openbookqa/train"`. Questions of files
      have no hidden need: the user tells the file's hint, if it has one, and then rules out wrong choices until two
      remain.
    * `subject=None`: one subject of MMLU; by default all.
    * `horizon=3`: number of turns.
    * `fixed_horizon=True`: whether the conversation continues to the last turn after an answer.
    * `format_weight=0.0`: fraction of the reward that is paid for the form of the answer.
    * `thinking=False`: whether the form requires a thought in every turn.
    * `user=None`: the script answers the agent's questions; or an object with `answer(conversations) -> list[str]`.

    ## Reference Scores
    Mean returns over all questions of the pool. They are exact, except for random tokens (20,000 episodes).

    | policy (`lang_envs.policies.clarifying_qa`) | `ambiguous` | `ambiguous-test` |
    |---|---|---|
    | `AskThenAnswer(task)`, the expert | 1.000 | 1.000 |
    | `AskThenAnswer(task)`, with `horizon=2` | 0.831 | 0.818 |
    | `AskIrrelevant(task)`, `AnswerAtOnce(task)` | 0.323 | 0.323 |
    | `RandomAnswer(task)` | 0.265 | 0.263 |
    | random tokens | 0.000 | 0.000 |

    On files without hints, two of four choices remain at the end: `AskThenAnswer` has 0.50, `RandomAnswer` 0.25.

    ## Version History
    * v0: first version.

    Attributes:
        cases: the questions with their askers.
    """

    conversational = True
    reward_range = (0.0, 1.0)
    max_utterance_tokens = 64
    max_context_tokens = 320

    def __init__(
        self,
        corpus: str | os.PathLike[str] = "ambiguous",
        subject: str | None = None,
        horizon: int = 3,
        fixed_horizon: bool = True,
        format_weight: float = 0.0,
        thinking: bool = False,
        user: User | None = None,
    ) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 turn, got {horizon}")
        if not 0 <= format_weight <= 1:
            raise ValueError(f"format_weight must lie in [0, 1], got {format_weight}")
        self.cases: Sequence[AmbiguousCase | HintedCase]
        if corpus in CORPORA:
            if subject is not None:
                raise ValueError(f"the corpus {corpus!r} has no subjects, got subject={subject!r}")
            self.cases = ambiguous.cases(*CORPORA[str(corpus)])
        else:
            self.cases = [HintedCase(question) for question in read_questions(corpus, subject)]
        self.num_contexts = len(self.cases)
        self.max_turns, self.fixed_horizon = horizon, fixed_horizon
        self.max_tokens = self.max_context_tokens + horizon * 160
        self.format_weight, self.thinking, self.user = format_weight, thinking, user
        self._rules = _rules(horizon, thinking)

    def begin(self, rng: np.random.Generator) -> tuple[QAState, Conversation]:
        """Draws a question."""
        return self.begin_at(int(rng.random() * len(self.cases)), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[QAState, Conversation]:
        """Question number ``context``."""
        return QAState(context), self.openings[context]

    def reply(self, state: QAState, utterance: str, rng: np.random.Generator) -> Reply[QAState]:
        """Answers one turn.

        Raises:
            ValueError: the conversation is over.
        """
        return self.reply_batch([state], [utterance], [rng])[0]

    def reply_batch(
        self, states: Sequence[QAState], utterances: Sequence[str], rngs: Sequence[np.random.Generator]
    ) -> list[Reply[QAState]]:
        """Answers one turn of each conversation; a ``user`` is asked once for all of them."""
        turns = [read(utterance) for utterance in utterances]
        going_on = [i for i, (state, said) in enumerate(zip(states, turns, strict=True)) if not self._over(state, said)]
        answers = dict(zip(going_on, self._answers(states, turns, going_on), strict=True))
        return [
            self._reply(state, said, answers.get(i)) for i, (state, said) in enumerate(zip(states, turns, strict=True))
        ]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged tokenizer for any text."""
        return text_tokenizer()

    @cached_property
    def openings(self) -> Sequence[Conversation]:
        """The opening observation of each question."""
        return [(system(self._rules), user(_written(case.question))) for case in self.cases]

    def _over(self, state: QAState, said: Said) -> bool:
        if state.over:
            raise ValueError("The conversation is over: begin a new one before the next turn.")
        return state.turn + 1 == self.max_turns or (said.letter is not None and not self.fixed_horizon)

    def _answers(self, states: Sequence[QAState], turns: Sequence[Said], going_on: Sequence[int]) -> list[str]:
        """The user's message in each of the conversations that are not over."""
        if self.user is not None:
            briefed = [self._briefed(states[i], turns[i]) for i in going_on]
            answers = self.user.answer(briefed) if briefed else []
            if len(answers) != len(briefed):
                raise ValueError(
                    f"{type(self.user).__name__}.answer must return a text for each of {len(briefed)} conversations, "
                    f"got {len(answers)}"
                )
        else:
            answers = [self._scripted(states[i], turns[i]) for i in going_on]
        last = self.max_turns - 2
        return [
            f"{answer} {LAST_CALL}" if states[i].turn == last else answer
            for i, answer in zip(going_on, answers, strict=True)
        ]

    def _scripted(self, state: QAState, said: Said) -> str:
        if said.asks:
            return self.cases[state.context].reply(said.spoken, state.asked)
        if said.letter is not None:
            return _NOTED
        return _I_SEE if said.spoken else _GO_ON

    def _reply(self, state: QAState, said: Said, answer: str | None) -> Reply[QAState]:
        correct = said.letter == self.cases[state.context].question.letter
        thought = state.thought and said.thought
        formed = said.formed and (thought or not self.thinking)
        asked = state.asked + said.asks
        over = answer is None
        spoken = (assistant(said.spoken), user(answer or ""))
        after = QAState(state.context, state.turn + 1, asked, thought, state.said + spoken, over)
        reward = (1 - self.format_weight) * correct + self.format_weight * formed if over else 0.0
        info: dict[str, Any] = {
            "context": state.context,
            "correct": correct,
            "format_ok": formed,
            "asked": asked,
            "answered": said.letter is not None,
        }
        return Reply(after, () if answer is None else (user(answer),), reward, over, info)

    def _briefed(self, state: QAState, said: Said) -> Conversation:
        """The conversation from the user's point of view, for the object that plays the user."""
        return system(_brief(self.cases[state.context].question)), *mirrored((*state.said, assistant(said.spoken)))


def _rules(horizon: int, thinking: bool) -> str:
    think = f" Think first, between {THINK} and {THOUGHT}." if thinking else ""
    turns = f"You have {horizon} turns" if horizon > 1 else "You have one turn"
    return f"{turns}. Ask back, one thing at a time, or answer; close with: The answer is X.{think}"


def _written(question: Question) -> str:
    """The question as the agent reads it."""
    context = [question.context] if question.context else []
    choices = (f"{letter}: {choice}" for letter, choice in zip(LETTERS, question.choices, strict=False))
    return "\n".join([*context, question.text, *choices])


def _brief(question: Question) -> str:
    """The system message for the object that plays the user."""
    know = f"\nWhat you know: {question.hint}" if question.hint else ""
    return (
        f"You have asked an assistant this question:\n{_written(question)}{know}\n"
        f"The choice that is right for you is {question.letter}. Never say so, and never name a letter. "
        "Answer what the assistant asks you, truthfully, in at most two sentences."
    )
