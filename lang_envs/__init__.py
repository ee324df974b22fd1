"""Language tasks as token-level decision processes with gymnasium's interface."""

from lang_envs.checker import check_env
from lang_envs.episode import Episode, Episodes
from lang_envs.registration import register, register_offered
from lang_envs.rollout import Policy, Start, Turn, rollout
from lang_envs.spaces import Utterance
from lang_envs.task import Reply, Task
from lang_envs.token_env import TokenEnv
from lang_envs.utterance_env import UtteranceEnv
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
    "register",
    "rollout",
]


register("MovieReview-v0", task="lang_envs.tasks.movie_review:MovieReview")
register("Wordle-v0", task="lang_envs.tasks.wordle:Wordle")
register(
    "Wordle-Paper-v0",
    task="lang_envs.tasks.wordle:Wordle",
    feedback="simple",
    hidden="resample",
    require_dictionary=False,
)
register("Maze-v0", task="lang_envs.tasks.maze:Maze")
register("Maze-PO-v0", task="lang_envs.tasks.maze:Maze", observed="walls")
register("ClarifyingQA-v0", task="lang_envs.tasks.clarifying_qa:ClarifyingQA")
register("ServiceDesk-v0", task="lang_envs.tasks.service_desk:ServiceDesk")
register("VisualDialogue-v0", task="lang_envs.tasks.visual_dialogue:VisualDialogue")
register("VisualDialogue-YesNo-v0", task="lang_envs.tasks.visual_dialogue:VisualDialogue", reward="yes_no")
register(
    "VisualDialogue-ConservativeYesNo-v0",
    task="lang_envs.tasks.visual_dialogue:VisualDialogue",
    reward="conservative",
)
register("Dialogue-BERTScore-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bertscore")
register("Dialogue-BERTClick-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bertclick")
register("Dialogue-BLEU-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="bleu")
register("Dialogue-chrF-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="chrf")
register("Dialogue-METEOR-v0", task="lang_envs.tasks.dialogue:Dialogue", reward="meteor")
register("MultiWOZ-Goal-v0", task="lang_envs.tasks.multiwoz_goal:MultiWOZGoal")
register("Logs-v0", task="lang_envs.tasks.logs:Logs")
register("Reddit-Toxicity-v0", task="lang_envs.tasks.reddit:Reddit")
register("Reddit-NoisedToxicity-v0", task="lang_envs.tasks.reddit:Reddit", reward="noised_toxicity")
register("Reddit-Upvotes-v0", task="lang_envs.tasks.reddit:Reddit", reward="upvotes")

register_offered()
