"""Every agent on common model layouts: it trains, saves, is opened by the library, and then says the same."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from guess_task import Guess
from numpy.typing import NDArray
from toy_agent import END, OFFLINE, PAD, TOKENIZER, make_agent, make_env, make_episodes, needs_sb3
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from agents import AGENTS, LM, Agent, DecisionTransformer, FitConfig, Live, LMPolicy, Logged, fit
from agents.data.return_tokens import Prompted
from agents.models.value_lm import ValueLM
from agents.q_sft import QSFT
from lang_envs import TokenVectorEnv, Turn, rollout
from lang_envs.tokenizers import fingerprint

WIDE = {"initializer_range": 0.2}  # sharp opinions, so that a wrong past shows
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 48, **WIDE}
LLAMA = {**SIZE, "intermediate_size": 32, "num_key_value_heads": 2}  # grouped queries
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LAYOUTS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32, **WIDE},
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": {**LLAMA, "head_dim": 8},
    "gpt_neox": {**SIZE, "intermediate_size": 32},
    "gptj": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 48, "rotary_dim": 4, **WIDE},
    "opt": {**SIZE, "ffn_dim": 32, "word_embed_proj_dim": 16, "init_std": 0.2},
    "phi3": LLAMA,
    "gemma": {**LLAMA, "head_dim": 8},
    "olmo2": LLAMA,
    "qwen3_moe": {**LLAMA, **MIXTURE, "head_dim": 8},
    "gemma2": {**LLAMA, "head_dim": 8},
    "cohere": LLAMA,
    "mistral": {**LLAMA, "sliding_window": 8},
    "starcoder2": {**LLAMA, "sliding_window": 8},
    "gemma3_text": {**LLAMA, "head_dim": 8, "sliding_window": 8},
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 48,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 24,
        **WIDE,
    },
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 4, **WIDE},
    "falcon": SIZE,
}
REFUSED = {
    "gemma2": "sliding windows",
    "cohere": "scales or caps",
    "mistral": "sliding windows",
    "starcoder2": "sliding windows",
    "gemma3_text": "sliding windows",
    "mamba": "linear attention",
    "bloom": "BloomForCausalLM cannot be read without masks",
    "falcon": "FalconForCausalLM cannot be read without masks",
}
EVERY_AGENT = ("gpt2", "llama", "qwen2")


def random_model(layout: str, **changes: Any) -> Any:
    """Random weights."""
    drop = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "dropout": 0.0, "attention_dropout": 0.0}
    ids = {"vocab_size": len(TOKENIZER), "bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(layout, **drop | ids | LAYOUTS[layout] | changes)
        return AutoModelForCausalLM.from_config(config).eval()


def make_layout(layout: str, folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> LM:
    """Random weights, saved as the hub has them and loaded again."""
    random_model(layout, **changes or {}).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return LM.from_pretrained(folder, make_env(), **options)


class Rereading:
    """The likeliest tokens by the library's ``generate``, which reads all of the episode anew at every token."""

    def __init__(self, model: PreTrainedModel, limit: int) -> None:
        self.model, self.limit = model, limit

    def act(self, histories: Sequence[NDArray[np.int32]], rngs: Sequence[np.random.Generator]) -> list[Turn]:
        turns = []
        for history in histories:
            ids = torch.from_numpy(history.astype(np.int64))[None]
            ones = torch.ones_like(ids)
            said = self.model.generate(
                ids, attention_mask=ones, max_new_tokens=self.limit, do_sample=False, use_cache=False
            )
            turns.append(Turn(said[0, len(history) :].numpy().astype(np.int32)))
        return turns


def check(agent: Agent, folder: Path) -> None:
    """Trains, saves, opens, and plays with a cache and without."""
    source = Logged(make_episodes(8)) if agent.name in OFFLINE else Live(make_env())
    rows = list(fit(agent, source, 2, FitConfig(lr=1e-2, batch_size=4, log_every=1)))
    assert len(rows) == 2 and all(math.isfinite(row["loss"]) for row in rows)
    opened = AutoModelForCausalLM.from_pretrained(agent.save(folder, merge=True), dtype=torch.float32)
    assert fingerprint(Agent.load(folder).lm.tokenizer) == fingerprint(TOKENIZER)
    speaker: Any = Rereading(opened, agent.lm.max_utterance_tokens)
    if isinstance(agent, DecisionTransformer):
        speaker = Prompted(speaker, agent.token_of(), None, agent.token_of())
    if isinstance(agent, QSFT):  # speaks with two models, of which transformers opens one
        speaker = Agent.load(folder).policy(greedy=True)
    cached, read_again = (
        [episode.tokens.tolist() for episode in rollout(make_env(), policy, range(3))]
        for policy in (agent.policy(greedy=True), speaker)
    )
    assert cached == read_again


@pytest.mark.parametrize("layout", EVERY_AGENT)
@pytest.mark.parametrize("algorithm", [pytest.param(name, marks=needs_sb3(name)) for name in AGENTS])
def test_every_agent_on_the_common_layouts(algorithm: str, layout: str, tmp_path: Path) -> None:
    check(make_agent(algorithm, make_layout(layout, tmp_path / "lm")), tmp_path / "agent")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in EVERY_AGENT])
def test_other_layouts_work_or_are_refused_in_words(layout: str, tmp_path: Path) -> None:
    if layout in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[layout]):
            make_layout(layout, tmp_path / "lm")
    else:
        check(make_agent("ilql", make_layout(layout, tmp_path / "lm")), tmp_path / "agent")


LOCAL = {"attention_types": [[["local"], 2]], "window_size": 4}


def test_a_window_inside_ordinary_layers_is_refused_where_episodes_are_longer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"look back on 4 tokens, and episodes.* up to 24.*max_tokens=4"):
        make_layout("gpt_neo", tmp_path / "local", LOCAL)
    make_layout("gpt_neo", tmp_path / "global", {**LOCAL, "attention_types": [[["global"], 2]]})
    AGENTS["ilql"](LM(random_model("gpt_neo"), TOKENIZER, 3)).save(tmp_path / "agent")
    short = TokenVectorEnv(Guess(), 2, max_tokens=24)
    assert LM.from_pretrained(tmp_path / "agent", short).model.config.lm.window_size == 24
    with pytest.raises(ValueError, match="look back on 24 tokens"):
        LM.from_pretrained(tmp_path / "agent", TokenVectorEnv(Guess(), 2, max_tokens=25))


@pytest.mark.parametrize("values", [False, True])
def test_nothing_is_said_beyond_a_window(values: bool) -> None:
    model = random_model("gpt_neo", **LOCAL)
    policy = LMPolicy(ValueLM.around(model) if values else model, TOKENIZER, END, 2, greedy=True)
    short, fits, long = (np.arange(n, dtype=np.int32) for n in (2, 3, 9))
    rngs = np.random.default_rng(0).spawn(2)
    [alone, _] = policy.act([short, short], rngs)
    [beside, _] = policy.act([short, fits], rngs)
    assert alone.tokens.tolist() == beside.tokens.tolist()
    with pytest.raises(ValueError, match=r"GPTNeoModel look back on 4 tokens, and an episode has 9.*max_tokens=4"):
        policy.act([short, long], rngs)
