"""Lets a language model behind an OpenAI-compatible server play, and records its episodes as a data set.

Start a server first, for example one of these:

    transformers serve Qwen/Qwen3-0.6B
    vllm serve Qwen/Qwen3-0.6B

python examples/served_llm.py --url http://localhost:8000/v1 --model Qwen/Qwen3-0.6B
"""

from pathlib import Path

import tyro

from datasets_builders import record
from lang_envs.make import language_vec
from lang_envs.policies.served import Served

RULES = "You are asked a multiple-choice question. Ask back if something is missing, then answer with one letter."


def main(url: str, model: str, episodes: int = 32, max_tokens: int = 1024, out: Path = Path("data/served")) -> None:
    """Plays clarifying questions and answers with a served model.

    Args:
        url: of the server.
        model: the name it knows the model by.
        episodes: how many to play.
        max_tokens: of the server in one reply, thoughts included; they go to each episode's info.
        out: the folder to record to; interrupted, it goes on where it stopped.
    """
    env = language_vec("ClarifyingQA-v0", min(episodes, 16))
    policy = Served(url, model, env.task, env.tokenizer, instruction=RULES, temperature=0.7, max_tokens=max_tokens)
    data = record(env, policy, episodes, out)
    for episode in list(data)[:3]:
        print(f"{env.tokenizer.decode(episode.tokens)}\n  earned {episode.ret:g}\n")
    print(f"{model} earned {data.returns.mean():.2f} on average; {len(data)} episodes are in {out}.")
    print(f"To imitate the best half of them: lang-envs train bc --data {out} --keep-top 0.5 --out runs/imitated")


if __name__ == "__main__":
    tyro.cli(main)
