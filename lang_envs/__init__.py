"""Language tasks as token-level decision processes behind gymnasium's interface."""

import warnings

from gymnasium import register, registry
from gymnasium.error import Error

from lang_envs.checker import check_env
from lang_envs.envs import TokenEnv, UtteranceEnv
from lang_envs.episode import Episode, Episodes
from lang_envs.plugins import offered
from lang_envs.rollout import Policy, Start, Turn, rollout
from lang_envs.spaces import Utterance
from lang_envs.task import Reply, Task
from lang_envs.vector import TokenVectorEnv

__version__ = "0.1.0"
__all__ = [
    "Episode",
    "Episodes",
    "Policy",
    "Reply",
    "Start",
    "Task",
    "TokenEnv",
    "TokenVectorEnv",
    "Turn",
    "Utterance",
    "UtteranceEnv",
    "__version__",
    "check_env",
    "rollout",
]


def _register(id: str, **kwargs: object) -> None:
    register(
        id,
        entry_point="lang_envs.make:make_env",
        vector_entry_point="lang_envs.make:make_vec_env",
        order_enforce=False,  # the environments themselves refuse a step before reset, in words
        kwargs=kwargs,
    )


_register("MovieReview-v0", task="lang_envs.tasks.movie_review:MovieReview")
_register("Wordle-v0", task="lang_envs.tasks.wordle:Wordle")
_register(
    "Wordle-Paper-v0",
    task="lang_envs.tasks.wordle:Wordle",
    feedback="simple",
    hidden="resample",
    require_dictionary=False,
)
_register("ClarifyingQA-v0", task="lang_envs.tasks.clarifying_qa:ClarifyingQA")
_register("VisualDialogue-v0", task="lang_envs.tasks.visual_dialogue:VisualDialogue")
_register("VisualDialogue-YesNo-v0", task="lang_envs.tasks.visual_dialogue:VisualDialogue", reward="yes_no")
_register(
    "VisualDialogue-ConservativeYesNo-v0",
    task="lang_envs.tasks.visual_dialogue:VisualDialogue",
    reward="conservative",
)
_register("Dialogue-BERTScore-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bertscore")
_register("Dialogue-BERTClick-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bertclick")
_register("Dialogue-BLEU-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bleu")
_register("Dialogue-chrF-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="chrf")
_register("Dialogue-METEOR-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="meteor")
_register("Reddit-Toxicity-v0", task="lang_envs.tasks.reddit:Reddit")
_register("Reddit-NoisedToxicity-v0", task="lang_envs.tasks.reddit:Reddit", reward="noised_toxicity")
_register("Reddit-Upvotes-v0", task="lang_envs.tasks.reddit:Reddit", reward="upvotes")

for _id, _entry in offered("tasks").items():  # of installed packages: the task is imported when an environment is made
    try:
        if _id not in registry:
            _register(_id, task=_entry.value)
    except Error as _error:  # somebody else's mistake
        warnings.warn(f"the task {_entry.value!r} of an installed package is not registered: {_error}", stacklevel=2)
