"""Multiple-choice questions: one value type, and a reader for the layouts they are published in."""

from lang_envs.corpora.questions.files import read_questions
from lang_envs.corpora.questions.question import LETTERS, Question

__all__ = ["LETTERS", "Question", "read_questions"]
