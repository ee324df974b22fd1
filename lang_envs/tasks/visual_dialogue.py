"""Question asking about an image that only others see: the visual dialogue of Snell et al. (2023), "Offline RL for
Natural Language Generation with Implicit Language Q Learning", Section 6, on built-in scenes or on real dialogues.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lang_envs.arguments import seed_of
from lang_envs.conversation import Conversation, system, user
from lang_envs.corpora.scenes.world import SceneWorld
from lang_envs.task import Reply, Task
from lang_envs.tasks.visual_dialogue_rewards import PENALTY, RewardName, Rule, penalised
from lang_envs.tasks.visual_dialogue_worlds import World, make_world
from lang_envs.tokenizers import text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

GOAL = 0.5
"""The share of the percentile left after the caption that the guesser must cover."""


@dataclass(frozen=True)
class VisualDialogueState:
    """A dialogue so far."""

    context: int
    """the number of the image"""
    opening: float
    """the guesser's percentile after the caption"""
    percentile: float
    """the guesser's percentile now"""
    view: Any = field(compare=False, repr=False)
    """the guesser's view of the dialogue, a value that the questions so far determine"""
    questions: tuple[str, ...] = ()
    over: bool = False


class VisualDialogue(Task[VisualDialogueState]):
    """## Description
    Ask about an image that you do not see. The agent reads a caption and asks questions in plain words. An answerer
    sees the image and answers. A guesser hears the dialogue and guesses which image it is. The game is won once the
    guesser has closed half of the gap that the caption left. The wording of an answer can cost extra, so it pays to ask
    in another way, not only about other things.

    ## Action Space
    `Discrete(2048)`: the packaged byte-level tokens. `<|end|>` ends a question, which has at most 40 tokens. Any text
    is a question. The answer to a question that is not understood is "can't tell" or the like.

    ## Observation Space
    All tokens so far, at most 640: the caption, then for each round `<|agent|>is it sunny?<|end|><|user|>yes`.

    ## Starting State
    An image drawn from all images; `options={"context": i}` chooses one. The observation is its caption and
    `<|agent|>`.

    ## Rewards
    On the last token of a question: -1, or 0 if this turn ends the dialogue for any reason. A penalty of -2 is added if
    the *answer* is one to avoid:

    | id | `reward` | answers to avoid | range of the return |
    |---|---|---|---|
    | `VisualDialogue-v0` | `"standard"` | none | -9 to 0 |
    | `VisualDialogue-YesNo-v0` | `"yes_no"` | only "yes" or "no" | -29 to 0 |
    | `VisualDialogue-ConservativeYesNo-v0` | `"conservative"` | answers that contain a word of the list | -29 to 0 |

    The list: not, don't, can't, cannot, fairly, could, think so, okay, maybe, yes, no, looks, appears, tell, mostly
    just. Upper and lower case are equal. By default (`rule="paper"`) any occurrence counts, as in the paper, so that
    results can be compared with its tables: "snow", "nothing" and "know" contain "no". With `rule="words"` only whole
    words count, and "yes." is "yes".

    ## Episode End
    The guesser ranks all images. Its percentile is 1 - rank / N, with 1 as the best rank (ties share the mean of their
    ranks). With p_0 after the caption and p_t after t answers, the dialogue terminates when (p_t - p_0) / (1 - p_0) >=
    0.5, or after ten rounds. An image that the caption alone ranks first takes ten rounds. The dialogue is truncated if
    the tokens are used up.

    ## Information
    At the end of each question: `success` (bool), whether the guesser has closed half of the gap; `percentile` (float);
    `penalised` (bool), whether the answer was one to avoid; `context` (int), the number of the image.

    ## Arguments
    * `reward`, `rule`: see above.
    * `world="scenes"`: the built-in scenes, below; `"visdial"` or `"vispro"`, found under `visual_dialogue/` in the
      folder of the environment variable `LANG_ENVS_DATA`; or the path of a file in one of their layouts.
    * Of the built-in scenes: `pool=1000`, the number of scenes, each of which is to be guessed among all (memory and
      time grow with it); `difficulty=3.0`, the standard deviation of the guesser's random prior, in contradicted facts
      (0: no prior); `split="train"`, or `"val"`, `"test"` with other scenes.
    * Of real dialogues: `features=None`, a `.npy` or `.safetensors` file of image features (VGG, CLIP ...), by default
      the objects in the image if the file has them, otherwise the texts about it; `threshold=0.6`, the cosine
      similarity from which two questions count as the same.
    * `seed=0`: seed of the scenes and of the guesser's prior; for real dialogues, of the half of the images that trains
      the guesser.

    ## The Built-in Scenes
    A scene is 40 facts: place, weather, people and what they do and wear, animals, vehicles, furniture, counts, colours
    ... The answerer understands about half of the questions that people ask about photographs, in many wordings. The
    other half is about things that these scenes do not have. It answers truthfully from the facts, tersely in some
    scenes and at length in others.

    The guesser starts from a random prior for each caption. It counts against each scene every fact that contradicts an
    answer: 1 for a yes or a no, 0.6 for a named value. Open questions therefore tell a little less than the best
    yes-or-no questions, and avoid their penalties. The scenes do not model photographs, common sense or free talk.

    ## Real Dialogues
    The dialogues replace the two networks of Das et al. (2017). The answer is the one that a person gave to the nearest
    question about this image. The guesser is a regression from sentence embeddings to image features, trained on half
    of the images. Reading a file embeds its texts, which takes about half a minute for 500 dialogues on one core. On
    VisPro's validation file (250 images played), people's own questions raise the mean percentile from 0.83 after the
    caption to 0.92 and succeed in half of the dialogues. Random questions of the file raise it to 0.85 and succeed in a
    third.

    ## Reference Scores
    Mean returns over 10,000 dialogues (random tokens: 1,024) on the built-in scenes, with standard errors below 0.08
    (0.003 for random tokens). The last three rows are one questioner that avoids the penalties of one reward each.

    | policy (`lang_envs.policies.visual_dialogue`) | standard | yes/no | conservative |
    |---|---|---|---|
    | random tokens | -9.000 | -9.004 | -29.000 |
    | `Repetitive(task)` | -8.009 | -14.188 | -23.178 |
    | `RandomQuestions(task)` | -5.825 | -10.494 | -17.342 |
    | `YesNo(task)`, mostly yes-or-no questions | -5.536 | -11.473 | -17.530 |
    | `Informative(task)`, standard | -2.636 | -5.603 | -9.456 |
    | `Informative(task)`, yes/no | -3.294 | -3.352 | -5.402 |
    | `Informative(task)`, conservative | -3.584 | -3.643 | -4.771 |

    The expert is `Informative`, each on the reward whose penalties it avoids.

    ## Version History
    * v0: first version.

    Attributes:
        world: the images, who answers and who guesses.
    """

    max_turns = 10
    conversational = True
    instruction = (
        "Somebody looks at an image that you cannot see. Ask short questions about it, one at a time, until you know "
        "which image it is. You are told what it shows."
    )
    max_utterance_tokens = 40
    max_tokens = 640

    def __init__(
        self,
        reward: RewardName = "standard",
        rule: Rule = "paper",
        world: str | os.PathLike[str] = "scenes",
        pool: int = 1000,
        difficulty: float = 3.0,
        split: str = "train",
        seed: int = 0,
        features: str | os.PathLike[str] | None = None,
        threshold: float = 0.6,
    ) -> None:
        if reward not in get_args(RewardName):
            raise ValueError(f"reward must be one of {get_args(RewardName)}, got {reward!r}")
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {get_args(Rule)}, got {rule!r}")
        seed_of(seed)
        self.reward: RewardName = reward
        self.reward_range = (-1.0 if reward == "standard" else PENALTY - 1.0, 0.0)
        self.rule: Rule = rule
        self.world: World = make_world(os.fspath(world), pool, difficulty, split, seed, features, threshold)
        self.num_contexts = len(self.world.captions)
        self.split, self.splits = split, ("train", "val", "test") if self.is_built_in else ()
        self._tokenizer: PreTrainedTokenizerFast | None = None

    def begin(self, rng: np.random.Generator) -> tuple[VisualDialogueState, Conversation]:
        """Draws an image and shows its caption."""
        return self.begin_at(int(rng.random() * len(self.world.captions)), rng)

    def begin_at(self, context: int, rng: np.random.Generator) -> tuple[VisualDialogueState, Conversation]:
        """Shows the caption of image ``context``."""
        views, percentiles = self.world.begin([context])
        opening = float(percentiles[0])
        return VisualDialogueState(context, opening, opening, views[0]), (system(self.world.captions[context]),)

    def reply(self, state: VisualDialogueState, utterance: str, rng: np.random.Generator) -> Reply[VisualDialogueState]:
        """Answers one question.

        Raises:
            ValueError: the dialogue is over.
        """
        return self.reply_batch([state], [utterance], [rng])[0]

    def reply_batch(
        self,
        states: Sequence[VisualDialogueState],
        utterances: Sequence[str],
        rngs: Sequence[np.random.Generator],
    ) -> list[Reply[VisualDialogueState]]:
        """Answers a question in each dialogue.

        Raises:
            ValueError: one of the dialogues is over.
        """
        if any(state.over for state in states):
            raise ValueError("The dialogue is over: begin a new one before the next question.")
        answers, views, percentiles = self.world.ask(
            [state.context for state in states], [state.view for state in states], utterances
        )
        return [
            self._answered(state, utterance, answer, view, percentile)
            for state, utterance, answer, view, percentile in zip(
                states, utterances, answers, views, percentiles.tolist(), strict=True
            )
        ]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The packaged tokenizer for any text."""
        if self._tokenizer is None:
            self._tokenizer = text_tokenizer()
        return self._tokenizer

    @property
    def is_built_in(self) -> bool:
        """Whether it is played on the built-in scenes."""
        return isinstance(self.world, SceneWorld)

    def penalised(self, answer: str) -> bool:
        """Whether an answer costs the penalty under this task's reward and rule."""
        return penalised(answer, self.reward, self.rule)

    def _answered(
        self, state: VisualDialogueState, question: str, answer: str, view: Any, percentile: float
    ) -> Reply[VisualDialogueState]:
        questions = (*state.questions, question)
        # Percentiles are ranks divided by the pool's size; rounding must not decide when exactly half is covered.
        found = percentile - state.opening >= GOAL * (1 - state.opening) - 1e-9
        over = found or len(questions) == self.max_turns
        after = VisualDialogueState(state.context, state.opening, percentile, view, questions, over)
        bad = self.penalised(answer)
        info = {"context": state.context, "success": found, "percentile": percentile, "penalised": bad}
        return Reply(after, (user(answer),), (0.0 if over else -1.0) + (PENALTY if bad else 0.0), over, info)
