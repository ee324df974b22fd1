"""A pretrained chat model: the time to open it relative to transformers alone, and the rate of encoding conversations.

One thread, process time; all cases are timed in turns in one process, and the result is the median of the ratios of
neighbours. The first opening in a process takes longer: it compares checksums of the converted files (0.2 s) and runs
four passes that check the model's layout (0.3 s). It takes 1.9 times as long as transformers alone in float32, and 3
times as long in bfloat16.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_perf_large_vocabulary import report, seconds
from tiny_models import make_env
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import LM
from agents.decoding.policy import LMPolicy
from lang_envs.adoption import adopt
from lang_envs.conversation import user
from lang_envs.markup import Markup
from lang_envs.pretrained import Precision

TURNS = 10_000
RATE = 20_000  # turns a second
GREETING = "Hello there"


def open_ours(dtype: Precision) -> int:
    """The tokenizer, the model in an environment of it, and the first greedy token."""
    tokenizer = adopt("smollm2")
    lm = LM.from_pretrained("smollm2", make_env(512, tokenizer), dtype=dtype)
    prompt = np.array(tokenizer(GREETING).input_ids, np.int32)
    [turn] = LMPolicy(lm.model, tokenizer, lm.end_id, 1, greedy=True).act([prompt], [np.random.default_rng(0)])
    return int(turn.tokens[0])


def open_plain(folder: Path, dtype: torch.dtype) -> int:
    """The same by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    ids = tokenizer(GREETING, return_tensors="pt")
    return int(model.generate(**ids, max_new_tokens=1, do_sample=False)[0, -1])


@pytest.mark.parametrize(("dtype", "target"), [("fp32", 1 / 1.3), ("bf16", 1 / 4)])
def test_opening(benchmark: Any, smollm2: Path, dtype: Precision, target: float) -> None:
    """In bfloat16 transformers maps the file; ``LM`` reads float32 first, in which layouts are checked, and rounds."""
    torch.set_num_threads(1)
    precision = torch.float32 if dtype == "fp32" else torch.bfloat16
    assert open_ours(dtype) == open_plain(smollm2, precision)
    calls = {"transformers": lambda: open_plain(smollm2, precision), "LM": lambda: open_ours(dtype)}
    benchmark.pedantic(lambda: None, rounds=1)
    report(f"opening, {dtype}", seconds(calls, rounds=5), {"LM": ("transformers", target)})


def test_ten_thousand_turns(benchmark: Any, smollm2: Path) -> None:
    """Each text is new; openings and answers of its kind were written before. The best of three rounds counts."""
    tokenizer, rng = adopt("smollm2"), np.random.default_rng(0)
    words = np.array(["the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as"])
    markup = Markup(tokenizer)
    markup.opening((user("Hello."),))
    markup.answer((user("Hello."),), ended=True, over=False)
    rates = [rates_of(markup, [" ".join(rng.choice(words, 12)) for _ in range(TURNS)]) for _ in range(3)]
    written, read = (max(rate) for rate in zip(*rates, strict=True))
    sys.stdout.write(f"turns a second: {written:,.0f} written, {read:,.0f} read; target {RATE:,}\n")
    benchmark.pedantic(lambda: None, rounds=1)
    assert min(written, read) >= RATE


def rates_of(markup: Markup, texts: list[str]) -> tuple[float, float]:
    """Turns written a second, half of them openings and half answers, and turns read."""
    half = len(texts) // 2
    start = time.process_time()
    opened = [markup.opening((user(text),)) for text in texts[:half]]
    answered = [markup.answer((user(text),), ended=False, over=False) for text in texts[half:]]
    written = len(texts) / (time.process_time() - start)
    said = markup.reply("Yes, of course.")
    episodes = [[*opening, *said, *answer] for opening, answer in zip(opened, answered, strict=True)]
    start = time.process_time()
    conversations = [markup.read(episode) for episode in episodes]
    read = sum(map(len, conversations)) / (time.process_time() - start)
    assert [c[-1].content for c in conversations] == texts[half:]
    return written, read
