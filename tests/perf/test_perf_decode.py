"""The rate of sampling utterances by ``LMPolicy`` and ``generate``, relative to a loop that does only the arithmetic.

B = 64 episodes or one, 25 tokens read and 36 generated in each, no early end, float32, one thread; the rate of the loop
is 1. With one row, Python's time for a step of the library's model is the limit; the loop has a third of its calls.
"""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from agents.decoding.policy import LMPolicy
from agents.models.lm import LM
from agents.models.value_lm import ValueLM
from lang_envs.tokenizers import character_tokenizer

ROWS, PROMPT, SAID, VOCABULARY, ROUNDS = 64, 25, 36, 35, 7


def value_lm(size, **settings):
    letters = [chr(ord("A") + i) for i in range(VOCABULARY - 2)]
    tokenizer = character_tokenizer([*letters, "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    task = SimpleNamespace(max_utterance_tokens=SAID)
    env = SimpleNamespace(tokenizer=tokenizer, max_tokens=74, task=task)
    env.unwrapped = env
    return ValueLM.around(LM.from_scratch(size, env).model, advantage_weight=4.0, **settings).eval(), tokenizer


class MinimalLoop:
    """GPT-2 with Q and V heads, keys and values in one block of memory, nothing optional.

    ``fused`` attends by torch's fused kernel as most loops do, otherwise by two batched products as ``LMPolicy`` does.
    """

    def __init__(self, model, fused, rows=ROWS):
        self.fused, self.rows = fused, rows
        gpt2, self.embed = model.lm.transformer, model.lm.transformer.wte.weight
        self.place, self.norm, self.heads = gpt2.wpe.weight, gpt2.ln_f, gpt2.config.n_head
        self.layers = [
            [(m.weight, m.bias) for m in (b.ln_1, b.attn.c_attn, b.attn.c_proj, b.ln_2, b.mlp.c_fc, b.mlp.c_proj)]
            for b in gpt2.h
        ]
        self.q, self.v, self.beta = model.target_q, model.v, model.config.advantage_weight
        d = self.embed.shape[1] // self.heads
        self.kv = torch.zeros(len(self.layers), 2, rows, self.heads, PROMPT + SAID, d)

    def attend(self, q, k, v):  # [B, H, Q, d], 2 x [B, H, K, d] -> [B, H, Q, d]
        if self.fused or q.shape[2] > 1:
            return F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
        p = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)).mul_(q.shape[-1] ** -0.5).softmax(-1)
        return torch.bmm(p, v.flatten(0, 1)).unflatten(0, q.shape[:2])

    def read(self, ids, start):  # [B, Q] -> [B, d]
        end, (rows, queries) = start + ids.shape[1], ids.shape
        x = self.embed[ids] + self.place[start:end]  # [B, Q, d]
        width = (x.shape[-1],)
        for (n1, qkv, out, n2, up, down), (keys, values) in zip(self.layers, self.kv, strict=True):
            y = torch.addmm(qkv[1], F.layer_norm(x, width, *n1).flatten(0, 1), qkv[0])
            q, k, v = y.view(rows, queries, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # [B, H, Q, d] each
            keys[:, :, start:end], values[:, :, start:end] = k, v
            y = self.attend(q, keys[:, :, :end], values[:, :, :end]).transpose(1, 2).reshape(rows * queries, -1)
            x = x + torch.addmm(out[1], y, out[0]).view_as(x)
            y = F.gelu(torch.addmm(up[1], F.layer_norm(x, width, *n2).flatten(0, 1), up[0]), approximate="tanh")
            x = x + torch.addmm(down[1], y, down[0]).view_as(x)
        return self.norm(x[:, -1])

    @torch.inference_mode()
    def __call__(self, prompts, seed):
        u = torch.from_numpy(np.random.default_rng(seed).random((self.rows, SAID)))
        said, h = torch.empty(self.rows, SAID, dtype=torch.long), self.read(prompts, 0)
        for step in range(SAID):
            scores = (h @ self.embed.T).log_softmax(-1) + self.beta * (torch.minimum(*self.q(h)) - self.v(h)[0])
            cdf = scores.softmax(-1).double().cumsum(-1)
            said[:, step] = torch.searchsorted(cdf, u[:, step, None] * cdf[:, -1:], right=True).squeeze(-1)
            if step + 1 < SAID:
                h = self.read(said[:, step, None], PROMPT + step)
        return said


def rates(contenders, rows=ROWS, rounds=ROUNDS):
    """Tokens per second of each; the rounds are interleaved, and the best one counts."""
    best = dict.fromkeys(contenders, np.inf)
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - start)
    return {name: rows * SAID / seconds for name, seconds in best.items()}


@pytest.mark.parametrize(
    ("size", "rows", "least"), [("d128-l2", 64, 0.65), ("d256-l4", 64, 0.85), ("d128-l2", 1, 0.3), ("d256-l4", 1, 0.4)]
)
def test_decoding_against_a_minimal_loop(benchmark, size, rows, least):
    torch.set_num_threads(1)
    model, tokenizer = value_lm(size)
    separate, _ = value_lm(size, trunks="separate")
    prompts = np.random.default_rng(0).integers(0, 33, (rows, PROMPT))
    ids = torch.from_numpy(prompts)
    policy, three = (LMPolicy(m, tokenizer, end_id=-1, max_utterance_tokens=SAID) for m in (model, separate))
    loop, loop_of_products = MinimalLoop(model, True, rows), MinimalLoop(model, False, rows)

    def speak(policy):
        policy.reset()
        return policy.act(list(prompts), [np.random.default_rng(i) for i in range(rows)])

    def generate():
        mask = torch.ones_like(ids)
        return model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=SAID, do_sample=True, top_k=0, eos_token_id=None
        )

    result = rates(
        {
            "minimal loop, fused attention": lambda: loop(ids, 0),
            "minimal loop, batched products": lambda: loop_of_products(ids, 0),
            "LMPolicy": lambda: speak(policy),
            "LMPolicy, three trunks": lambda: speak(three),
            "generate": generate,
        },
        rows,
    )
    bound = result["minimal loop, fused attention"]
    for name, rate in result.items():
        sys.stdout.write(f"{size}  {rows:2d} rows  {name:32s} {rate:8.0f} tokens/s  {rate / bound:.2f}\n")
    benchmark.pedantic(speak, (policy,), rounds=2)
    assert result["LMPolicy"] / bound >= least
