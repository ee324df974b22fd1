"""Language tasks as token-level decision processes behind gymnasium's interface."""

from gymnasium import register

from lang_envs.checker import check_env
from lang_envs.envs import TokenEnv, UtteranceEnv
from lang_envs.episode import Episode, Episodes
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
