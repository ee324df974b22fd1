"""The suites: every setting of every benchmark as plain data, a file for each task."""

from agents.benchmark.suites.clarifying_qa import CLARIFYING_QA
from agents.benchmark.suites.clarifying_qa_smollm2 import CLARIFYING_QA_SMOLLM2
from agents.benchmark.suites.dialogue import DIALOGUE, DIALOGUE_REAL, DIALOGUE_SMALL
from agents.benchmark.suites.dialogue_smollm2 import DIALOGUE_SMOLLM2
from agents.benchmark.suites.human_feedback import HUMAN_FEEDBACK
from agents.benchmark.suites.human_feedback_smollm2 import HUMAN_FEEDBACK_SMOLLM2
from agents.benchmark.suites.maze import MAZE
from agents.benchmark.suites.multiwoz_goal import MULTIWOZ_GOAL
from agents.benchmark.suites.multiwoz_goal_smollm2 import MULTIWOZ_GOAL_SMOLLM2
from agents.benchmark.suites.quick import QUICK
from agents.benchmark.suites.reddit import REDDIT
from agents.benchmark.suites.reddit_smollm2 import REDDIT_SMOLLM2
from agents.benchmark.suites.service_desk import SERVICE_DESK
from agents.benchmark.suites.service_desk_smollm2 import SERVICE_DESK_SMOLLM2
from agents.benchmark.suites.visual_dialogue import VISUAL_DIALOGUE
from agents.benchmark.suites.wordle import TRAP, TRAP_PAPER, WORDLE

SUITES = {
    suite.name: suite
    for suite in (
        QUICK,
        TRAP,
        TRAP_PAPER,
        WORDLE,
        MAZE,
        VISUAL_DIALOGUE,
        REDDIT,
        DIALOGUE,
        DIALOGUE_SMALL,
        DIALOGUE_REAL,
        DIALOGUE_SMOLLM2,
        MULTIWOZ_GOAL,
        MULTIWOZ_GOAL_SMOLLM2,
        CLARIFYING_QA,
        SERVICE_DESK,
        HUMAN_FEEDBACK,
        REDDIT_SMOLLM2,
        CLARIFYING_QA_SMOLLM2,
        HUMAN_FEEDBACK_SMOLLM2,
        SERVICE_DESK_SMOLLM2,
    )
}
"""By name."""
MINUTES = {
    "quick": 5,
    "maze": 12,
    "reddit": 30,
    "reddit-smollm2": 25,
    "clarifying-qa-smollm2": 50,
    "multiwoz-goal-smollm2": 60,
    "service-desk-smollm2": 35,
    "human-feedback-smollm2": 60,
}
"""minutes of one core per seed, for the suites where that was measured"""

__all__ = ["MINUTES", "SUITES"]
