"""Makes logs of every layout; the texts of each conversation depend on its number."""

from lang_envs.tokenizers import text_tokenizer

TOKENIZER = text_tokenizer()


def ids(text):
    return TOKENIZER.encode(text, add_special_tokens=False)


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def asked(i):
    return f"is room {i} open?"


def both(i, said):
    return [turn("user", asked(i)), turn("assistant", said)]


def transcript(i, said):
    return f"\n\nHuman: {asked(i)}\n\nAssistant: {said}"


def node(name, parent, role, text, rank=None):
    return {
        "message_tree_id": name[:-1],
        "message_id": name,
        "parent_id": parent,
        "role": role,
        "text": text,
        "rank": rank,
    }


def tokens_of(i):
    return ids(f"<|user|>{asked(i)}<|agent|>"), ids(f"until {i}<|end|>")


# Each makes the rows of a log that say "until i" in conversation i, worth i % 3.
LOGS = {
    "answers": lambda i: [{"question": asked(i), "answer": f"until {i}", "rating": i % 3}],
    "kto": lambda i: [{"prompt": asked(i), "completion": f"until {i}", "label": i % 2 == 0}],
    "alpaca": lambda i: [{"instruction": asked(i), "input": "", "output": f"until {i}", "score": i % 3}],
    "messages": lambda i: [{"messages": both(i, f"until {i}"), "rating": i % 3}],
    "sharegpt": lambda i: [
        {
            "conversations": [{"from": "human", "value": asked(i)}, {"from": "gpt", "value": f"until {i}"}],
            "score": i % 3,
        }
    ],
    "preference": lambda i: [{"prompt": asked(i), "chosen": f"until {i}", "rejected": "who knows"}],
    "preference-implicit": lambda i: [{"chosen": both(i, f"until {i}"), "rejected": both(i, "who knows")}],
    "hh": lambda i: [{"chosen": transcript(i, f"until {i}"), "rejected": transcript(i, "who knows")}],
    "ultrafeedback": lambda i: [
        {
            "instruction": asked(i),
            "completions": [
                {"response": text, "overall_score": worth, "model": "m"}
                for text, worth in ((f"until {i}", 8), ("who knows", 2))
            ],
        }
    ],
    "shp": lambda i: [
        {"history": asked(i), "human_ref_A": f"until {i}", "human_ref_B": "who knows", "score_A": 7, "score_B": 2}
    ],
    "webgpt": lambda i: [
        {
            "question": {"full_text": asked(i)},
            **{"answer_0": f"until {i}", "answer_1": "who knows", "score_0": 1, "score_1": -1},
        }
    ],
    "tree": lambda i: [
        node(f"{i}r", None, "prompter", asked(i)),
        node(f"{i}a", f"{i}r", "assistant", f"until {i}", 0),
        node(f"{i}b", f"{i}r", "assistant", "who knows", 1),
    ],
    "tree-nested": lambda i: [
        {
            "prompt": {
                "role": "prompter",
                "text": asked(i),
                "replies": [
                    {"role": "assistant", "text": text, "rank": rank}
                    for rank, text in enumerate((f"until {i}", "who knows"))
                ],
            }
        }
    ],
    "token-ids": lambda i: [
        {
            "prompt_ids": tokens_of(i)[0],
            "completion_ids": tokens_of(i)[1],
            "logprobs": [-0.5] * len(tokens_of(i)[1]),
            "reward": i % 3,
        }
    ],
    "tokens": lambda i: [
        {
            "tokens": [*tokens_of(i)[0], *tokens_of(i)[1]],
            "is_action": [0] * len(tokens_of(i)[0]) + [1] * len(tokens_of(i)[1]),
            "rewards": [0] * (len(tokens_of(i)[1]) - 1) + [i % 3],
        }
    ],
}
