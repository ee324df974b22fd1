"""Makes models of known shapes with random weights, and measures how fast they train and decode on this device."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from agents import AGENTS, LM
from agents.data.source import Logged
from agents.decoding.policy import LMPolicy
from agents.models.lm import native_bf16
from agents.models.lora import LoRAConfig, add_adapters
from agents.models.precision import round_weights
from agents.models.value_lm import ValueLM
from agents.training.fit import fit
from agents.training.fit_config import FitConfig
from lang_envs import Episode
from lang_envs.tokenizers import character_tokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "smollm2": {
        "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    },
    "gpt2-medium": {"vocab_size": 50_257, "n_embd": 1024, "n_layer": 24, "n_head": 16},
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "smollm2": {"vocab_size": 300, "hidden_size": 18, "intermediate_size": 32, "num_hidden_layers": 2},
    "gpt2-medium": {"vocab_size": 300, "n_embd": 32, "n_layer": 2},
}
WARM = 2
"""rows of the log before steps are timed"""
EVERY = 3
"""steps a row"""


class Case(NamedTuple):
    """One way to train."""

    agent: str
    config: dict[str, Any]
    lora: bool = False
    dtype: Any = "bf16"
    """of the weights; what is computed is in bfloat16 in any case"""


CASES = {
    "bc, weights in float32": Case("bc", {}, dtype="fp32"),
    "bc": Case("bc", {}),
    "bc, lora": Case("bc", {}, lora=True),
    "ilql, full": Case("ilql", {"q_head": "full"}),
    "ilql, low rank": Case("ilql", {"q_head": "low_rank"}),
    "ilql, low rank, lora": Case("ilql", {"q_head": "low_rank"}, lora=True),
}


class Size(NamedTuple):
    """Of a batch: episodes, their tokens (half of them the agent's, in utterances of 32), and rows that are decoded."""

    episodes: int
    tokens: int
    rows: int
    said: int


def size_of(tiny: bool) -> Size:
    """What a card has room for, or what a processor has time for."""
    return Size(4, 64, 8, 8) if tiny else Size(64, 256, 256, 64)


def device() -> torch.device:
    """The card, where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until the card has done what it was told."""
    if device().type == "cuda":
        torch.cuda.synchronize()


def forget() -> None:
    """Gives back what earlier cases held, and measures the most that is held from now on."""
    gc.collect()
    if device().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def held() -> float | None:
    """Gigabytes of the card that tensors held at most; None on a processor."""
    return torch.cuda.max_memory_allocated() / 1e9 if device().type == "cuda" else None


def elapsed(work: Callable[[], Any], times: int) -> float:
    """Seconds of one call, the mean of several after three."""
    for _ in range(3):
        work()
    wait()
    began = time.perf_counter()
    for _ in range(times):
        work()
    wait()
    return (time.perf_counter() - began) / times


def language_model(shape: str, tiny: bool, dtype: Any = "bf16", lora: bool = False) -> LM:
    """A model of that shape on the device, with a tokenizer of as many letters."""
    sizes = {**SHAPES[shape], **(TINY[shape] if tiny else {})}
    end, pad = sizes["vocab_size"] - 1, sizes["vocab_size"] - 2
    letters = [chr(0x20000 + i) for i in range(pad)]
    tokenizer = character_tokenizer([*letters, "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    ids = {"bos_token_id": None, "eos_token_id": end, "pad_token_id": pad}
    torch.manual_seed(0)
    with device():
        if shape == "smollm2":
            model: Any = LlamaForCausalLM(LlamaConfig(**sizes, **ids))
        else:
            model = GPT2LMHeadModel(GPT2Config(**sizes, **ids, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
    adapters = LoRAConfig(rank=16) if lora else None
    if adapters is not None:
        add_adapters(model, adapters)
    round_weights(model, dtype)
    return LM(model.to(device()), tokenizer, size_of(tiny).said, adapters)


def episodes(lm: LM, size: Size) -> list[Episode]:
    """Four batches of random tokens."""
    rng = np.random.default_rng(0)
    said = np.arange(size.tokens) % 64 >= 32
    return [
        Episode(
            rng.integers(0, lm.pad_id, size.tokens, dtype=np.int32),
            said,
            (said * rng.random() / size.tokens).astype(np.float32),
            True,
        )
        for _ in range(4 * size.episodes)
    ]


def steps_of(agent: Any, size: Size) -> Iterator[dict[str, float]]:
    """Training as it always is, ``EVERY`` steps at a time."""
    settings = FitConfig(lr=1e-5, batch_size=size.episodes, bf16=native_bf16(), log_every=EVERY, progress=False)
    return iter(fit(agent, Logged(episodes(agent.lm, size)), 1_000_000, settings))


def make_agent(shape: str, case: Case, tiny: bool) -> Any:
    """An agent that has learned nothing."""
    kind = AGENTS[case.agent]
    config = get_type_hints(kind)["config"](**case.config)
    return kind(language_model(shape, tiny, case.dtype, case.lora), config)


def step_rate(shape: str, case: Case, tiny: bool, seconds: float) -> dict[str, Any]:
    """Tokens a second, model FLOPs a second, and the memory held at most."""
    size = size_of(tiny)
    forget()
    agent = make_agent(shape, case, tiny)
    rows = steps_of(agent, size)
    for _ in range(WARM):
        next(rows)
    wait()
    began, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - began < seconds:
        next(rows)
        steps += EVERY
    wait()
    each = (time.perf_counter() - began) / steps
    tokens = size.episodes * size.tokens
    return {
        "tokens_per_second": tokens / each,
        "seconds_per_step": each,
        "model_tflops": model_flops(agent, size) / each / 1e12,
        "peak_gb": held(),
        "trained_millions": sum(p.numel() for p in agent.network.parameters() if p.requires_grad) / 1e6,
    }


def model_flops(agent: Any, size: Size) -> float:
    """Of one step, without what is computed twice: 2 for each weight and token forward, 2 backward, 2 if it is trained.

    The vocabulary and the heads of values are counted at the agent's tokens alone, targets forward alone; attention at
    half of all pairs of tokens.
    """
    model = agent.model
    lm: Any = model.lm if isinstance(model, ValueLM) else model
    tokens, spoken = size.episodes * size.tokens, size.episodes * size.tokens // 2
    frozen = agent.lm.lora is not None
    tables = {id(p) for m in lm.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    head = lm.get_output_embeddings().weight
    body = [p for p in lm.base_model.parameters() if id(p) not in tables]
    flops = sum(p.numel() * (6 if p.requires_grad else 4) for p in body) * tokens
    flops += head.numel() * (4 if frozen else 6) * spoken
    text = lm.config
    flops += 6 * text.num_hidden_layers * text.hidden_size * size.tokens * tokens
    if isinstance(model, ValueLM):
        learned = sum(p.numel() for heads in (model.q, model.v) for p in heads.parameters())
        flops += (6 * learned + 2 * sum(p.numel() for p in model.target_q.parameters())) * spoken
    return float(flops)


def decoding_rate(shape: str, values: bool, tiny: bool) -> dict[str, Any]:
    """New tokens a second of many rows, with what is read first."""
    size = size_of(tiny)
    forget()
    lm = language_model(shape, tiny)
    model: Any = lm.model
    if values:
        model = ValueLM.around(lm.model, q_head="low_rank", advantage_weight=4.0, lm_top_p=0.9)
    rng = np.random.default_rng(0)
    heard = [rng.integers(0, lm.pad_id, 96, dtype=np.int32) for _ in range(size.rows)]
    policy = LMPolicy(model.eval(), lm.tokenizer, lm.end_id, size.said)

    def speak() -> int:
        policy.reset()
        turns = policy.act(heard, [np.random.default_rng(i) for i in range(size.rows)])
        return sum(len(turn.tokens) for turn in turns)

    speak()
    wait()
    began = time.perf_counter()
    said = speak()
    wait()
    each = time.perf_counter() - began
    return {"tokens_per_second": said / each, "seconds": each, "rows": size.rows, "peak_gb": held()}


def profiled(shape: str, case: Case, tiny: bool) -> str:
    """The operators of three steps, those that take longest first."""
    rows = steps_of(make_agent(shape, case, tiny), size_of(tiny))
    for _ in range(WARM):
        next(rows)
    on_card = device().type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if on_card else []
    with torch.profiler.profile(activities=kinds) as found:
        next(rows)
        wait()
    by = "self_cuda_time_total" if on_card else "self_cpu_time_total"
    return found.key_averages().table(sort_by=by, row_limit=40, max_name_column_width=80)
