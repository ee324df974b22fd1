"""The training loop: the same result however it is divided into calls, batches and processes; log and checkpoints."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy_agent import (
    TOKENIZER,
    Toy,
    ToyConfig,
    make_env,
    make_episodes,
    make_lm,
    same_weights,
    weights,
)

from agents import AGENTS, Agent, FitConfig, Live, Logged, Mixed, fit
from agents.training import checkpoint as checkpoints
from agents.training.update import learning_rate
from datasets_builders import EpisodeDataset
from lang_envs.tokenizers import character_tokenizer

DROPOUT = 0.2


def toy(**config: Any) -> Toy:
    return Toy(make_lm(dropout=DROPOUT), ToyConfig(**config))


def ilql() -> Agent:
    return AGENTS["ilql"](make_lm(dropout=DROPOUT))


def settings(**changes: Any) -> dict[str, Any]:
    return {"lr": 1e-2, "batch_size": 4, "log_every": 1, "schedule_steps": 10, "warmup_steps": 2, **changes}


def source() -> Logged:
    return Logged(make_episodes(18), seed=1)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, third = (toy().learn(source(), 5, **settings(seed=seed)) for seed in (0, 0, 1))
    assert same_weights(weights(first), weights(second))
    assert not same_weights(weights(first), weights(third))  # dropout drew something else


def test_ten_steps_are_five_and_five_more(tmp_path: Path) -> None:
    whole = toy().learn(source(), 10, **settings())
    toy().learn(source(), 5, **settings(out=tmp_path))
    torch.manual_seed(123)  # whatever happens between the two
    resumed = toy()
    rows = list(fit(resumed, source(), 10, FitConfig(**settings(out=tmp_path))))
    assert [row["step"] for row in rows] == [6, 7, 8, 9, 10] and resumed.step == 10
    assert same_weights(weights(whole), weights(resumed))


def test_a_live_run_continues_bit_for_bit(tmp_path: Path) -> None:
    def mixed() -> Mixed:
        return Mixed(source(), Live(make_env(), seed=2))

    whole = toy().learn(mixed(), 4, **settings())
    toy().learn(mixed(), 2, **settings(out=tmp_path))
    assert same_weights(weights(whole), weights(toy().learn(mixed(), 4, **settings(out=tmp_path))))


CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_fit import settings, source, toy
from agents.training import checkpoint
write = checkpoint.save_file
def save_file(tensors, path):
    if "000000006" in str(path):  # in the middle of writing the third checkpoint
        os.kill(os.getpid(), signal.SIGKILL)
    write(tensors, path)
checkpoint.save_file = save_file
toy().learn(source(), 10, **settings(out={out!r}, checkpoint_every=2))
"""


def test_a_killed_run_continues_to_the_same_weights(tmp_path: Path) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=100, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["step-000000002", "step-000000004", "step-000000006.partial"]
    resumed = toy().learn(source(), 10, **settings(out=tmp_path, checkpoint_every=2))
    assert same_weights(weights(toy().learn(source(), 10, **settings())), weights(resumed))
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 11))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000000008", "step-000000010"]


def test_a_stopped_run_logs_what_a_whole_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(out: Path | None) -> list[dict[str, float]]:
        config = FitConfig(**settings(log_every=4, checkpoint_every=3, out=out))
        return [{**row, "time/steps_per_second": 0.0} for row in fit(toy(), source(), 8, config)]

    def stop(self: Agent, step: int) -> None:
        self.step = step
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Toy, "after_step", stop)
        rows(tmp_path)
    assert rows(tmp_path) == rows(None)  # the first row is of steps 1 to 4, though only the fourth was made here


def test_chained_calls_count_on() -> None:
    agent = toy().learn(source(), 3).learn(Live(make_env()), 2)
    assert agent.step == 5


def test_the_metrics_are_means_over_their_steps() -> None:
    every, sparse = (list(fit(toy(), source(), 7, FitConfig(**settings(log_every=n)))) for n in (1, 3))
    assert [row["step"] for row in sparse] == [3, 6, 7]
    for name in ("loss", "loss/toy", "optim/grad_norm", "data/return"):
        values = [row[name] for row in every]
        assert [row[name] for row in sparse] == pytest.approx([np.mean(values[:3]), np.mean(values[3:6]), values[6]])
    assert {"optim/lr", "time/steps_per_second"} <= sparse[0].keys()


def test_the_learning_rate_rises_and_falls() -> None:
    config = FitConfig(lr=1.0, warmup_steps=4, final_lr=0.2)
    rates = [learning_rate(config, step, 12) for step in range(1, 13)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert np.diff(rates[4:]) == pytest.approx(-0.1) and learning_rate(config, 13, 12) == pytest.approx(0.2)
    assert learning_rate(config, 99, 12) == pytest.approx(0.2)
    constant = FitConfig(lr=1.0, warmup_steps=2, schedule="constant")
    assert [learning_rate(constant, step, 5) for step in range(1, 6)] == [0.5, 1, 1, 1, 1]


def test_evaluators_do_not_change_the_run() -> None:
    seen = []

    def evaluator(agent: Agent) -> dict[str, float]:
        torch.rand(3)
        seen.append((agent.step, agent.model.training))
        return {"score": float(agent.step)}

    rows = list(fit(agent := toy(), source(), 5, FitConfig(**settings(eval_every=2, evaluators={"play": evaluator}))))
    assert seen == [(2, False), (4, False), (5, False)]
    assert [row.get("eval/play/score") for row in rows] == [None, 2, None, 4, 5]
    assert same_weights(weights(agent), weights(toy().learn(source(), 5, **settings())))


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step() -> None:
    agent = toy(fail_at=3)
    with pytest.raises(ValueError, match=r"loss is inf at step 3 \(loss inf, loss/toy inf, "):
        agent.learn(source(), 5, **settings())
    assert all(torch.isfinite(tensor).all() for tensor in weights(agent).values())


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_refused_in_words(file: str, harm: str, tmp_path: Path) -> None:
    toy().learn(source(), 2, **settings(out=tmp_path))
    path = tmp_path / "checkpoints" / "step-000000002" / file
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if harm == "cut" else content[:-9] + bytes([content[-9] ^ 255]) + content[-8:])
    with pytest.raises(ValueError, match=r"step-000000002 is damaged.*Delete that folder"):
        toy().learn(source(), 4, **settings(out=tmp_path))


def test_a_checkpoint_of_another_run_is_refused_in_words(tmp_path: Path) -> None:
    toy().learn(source(), 4, **settings(out=tmp_path))
    with pytest.raises(ValueError, match=r"fit.lr is 0.01 there and 0.1 here"):
        toy().learn(source(), 5, **settings(out=tmp_path, lr=0.1))
    with pytest.raises(ValueError, match=r"agent.scale is 1.0 there and 2.0 here"):
        toy(scale=2.0).learn(source(), 5, **settings(out=tmp_path))
    with pytest.raises(ValueError, match=r"agent.algorithm is 'toy' there and 'ilql' here"):
        ilql().learn(source(), 5, **settings(out=tmp_path))
    with pytest.raises(ValueError, match="another kind of source"):
        toy().learn(Live(make_env()), 5, **settings(out=tmp_path))
    with pytest.raises(ValueError, match="has made 4 steps, more than the 2 asked for"):
        toy().learn(source(), 2, **settings(out=tmp_path))
    assert list(fit(toy(), source(), 4, FitConfig(**settings(out=tmp_path)))) == []


def test_a_checkpoint_of_another_model_is_refused_in_words(tmp_path: Path) -> None:
    toy().learn(source(), 2, **settings(out=tmp_path))
    other = toy()
    other.model.transformer.wpe = torch.nn.Embedding(64, 16)
    with pytest.raises(ValueError, match="belongs to another model"):
        other.learn(source(), 3, **settings(out=tmp_path))


def test_checkpoints_hold_no_pickle_and_the_newest_two_stay(tmp_path: Path) -> None:
    toy().learn(source(), 7, **settings(out=tmp_path, checkpoint_every=2))
    folders = sorted((tmp_path / "checkpoints").iterdir())
    assert [f.name for f in folders] == ["step-000000006", "step-000000007"]
    assert checkpoints.newest(tmp_path / "checkpoints") == folders[-1]
    assert {p.suffix for f in folders for p in f.iterdir()} == {".safetensors", ".json"}


def test_other_tokens_are_refused() -> None:
    other = character_tokenizer([*"abc", "<pad>", "<end>"], end_token="<end>", pad_token="<pad>")
    agent = toy()
    agent.lm.tokenizer = other
    data = EpisodeDataset.from_episodes(make_episodes(4), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="tokenizer"):
        agent.learn(Logged(data), 1)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"schedule": "cosine"}, "'linear' or 'constant'"),
        ({"tensorboard": True}, "set out"),
        ({"lr": -0.1}, "lr must be at least 0"),
        ({"final_lr": -3.0}, "final_lr must be at least 0"),
        ({"warmup_steps": -5}, "warmup_steps must be at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be at least 0"),
    ],
)
def test_settings_that_cannot_be_meant(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FitConfig(**setting)


def test_bf16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.training.fit.native_bf16", lambda: True)
    agent = toy().learn(source(), 2, **settings(bf16=True))
    monkeypatch.setattr("agents.training.fit.native_bf16", lambda: False)
    with pytest.raises(ValueError, match="bfloat16"):
        toy().learn(source(), 2, **settings(bf16=True))
    assert agent.fit_config is not None and FitConfig(**agent.fit_config.to_dict()).bf16  # such an agent can be opened
    assert {tensor.dtype for tensor in weights(agent).values()} == {torch.float32}


def test_settings_are_json(tmp_path: Path) -> None:
    config = FitConfig(out=tmp_path, evaluators={"x": lambda agent: {}}, betas=(0.9, 0.95))
    again = FitConfig(**json.loads(json.dumps(config.to_dict())))
    assert again.to_dict() == config.to_dict() and again.betas == (0.9, 0.95)


def test_a_progress_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("lang_envs.progress.PATIENCE", 0.0)
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        toy().learn(source(), 2, **settings())
        assert ("2/2" in stream.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    toy().learn(source(), 2, **settings(progress=False))
    assert terminal.getvalue() == ""


def test_tensorboard_is_asked_for_or_missed_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        toy().learn(source(), 1, **settings(out=tmp_path, tensorboard=True))
    written: dict[str, float] = {}

    class SummaryWriter:
        def __init__(self, folder: Path, purge_step: int) -> None:
            assert (folder, purge_step) == (tmp_path / "tensorboard", 1)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written[name] = value

        def close(self) -> None:
            written["closed"] = 1

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    toy().learn(source(), 1, **settings(out=tmp_path, tensorboard=True))
    assert {"loss", "closed"} <= written.keys()


def test_no_steps_at_all() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1"):
        toy().learn(source(), 0)
