"""A task: guess a number from 1 to 9; every answer says whether it is higher or lower."""

from datasets_builders import Recipe, episodes_of
from lang_envs import Reply, Task, register
from lang_envs.policies.any_task import RandomTokens
from lang_envs.tokenizers import word_tokenizer

NUMBERS = [str(number) for number in range(1, 10)]


class MyTask(Task[int]):
    """Guess a number from 1 to 9: the right number earns 1, anything else costs 0.1."""

    max_turns, max_utterance_tokens, max_tokens = 4, 2, 16

    def tokenizer(self):
        """Every word is a token."""
        words = [*NUMBERS, "guess!", "higher", "lower", "what?", "<end>", "<pad>"]
        return word_tokenizer(words, end_token="<end>", pad_token="<pad>")

    def begin(self, rng):
        """The state is the number; all chance comes from ``rng``."""
        return int(rng.integers(1, 10)), "guess!"

    def reply(self, state, utterance, rng):
        """Any text may be said; ``info`` has the same keys in every reply."""
        if utterance not in NUMBERS:
            return Reply(state, "what?", reward=-0.1, terminated=False, info={"success": False})
        if int(utterance) == state:
            return Reply(state, "", reward=1.0, terminated=True, info={"success": True})
        answer = "higher" if state > int(utterance) else "lower"
        return Reply(state, answer, reward=-0.1, terminated=False, info={"success": False})


register("MyTask-v0", task="my_task:MyTask")
ANYONE = episodes_of(lambda env: RandomTokens(env.task, env.tokenizer), "anyone")
LOGS = Recipe("my-task", "MyTask-v0", "Games of players who say anything.", ANYONE)
