"""The measurements for a graphics card: that they run, count, and continue where they were stopped."""

import json
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import gpu_check  # noqa: E402
import gpu_models  # noqa: E402


@pytest.mark.parametrize(("shape", "name"), [*(("smollm2", name) for name in gpu_models.CASES), ("gpt2-medium", "bc")])
def test_every_case_trains(shape, name):
    row = gpu_models.step_rate(shape, gpu_models.CASES[name], tiny=True, seconds=0)
    size = gpu_models.size_of(tiny=True)
    assert row["tokens_per_second"] * row["seconds_per_step"] == pytest.approx(size.episodes * size.tokens)
    assert row["model_tflops"] > 0 and row["peak_gb"] is None


def test_model_flops():
    size = gpu_models.size_of(tiny=True)
    tokens, spoken = 4 * 64, 4 * 32
    agent = gpu_models.make_agent("gpt2-medium", gpu_models.CASES["bc"], tiny=True)
    body = sum(p.numel() for p in agent.model.transformer.h.parameters()) + 2 * 32
    attention = 6 * 2 * 32 * 64 * tokens  # 2 layers of width 32, 64 tokens, half of the pairs
    assert gpu_models.model_flops(agent, size) == 6 * body * tokens + 6 * 32 * 300 * spoken + attention
    adapted = gpu_models.make_agent("gpt2-medium", gpu_models.CASES["bc, lora"], tiny=True)
    own = sum(p.numel() for p in adapted.network.parameters() if p.requires_grad)
    expected = 4 * body * tokens + 6 * own * tokens + 4 * 32 * 300 * spoken + attention
    assert gpu_models.model_flops(adapted, size) == expected


def test_it_speaks_and_is_profiled():
    assert gpu_models.decoding_rate("smollm2", values=True, tiny=True)["rows"] == 8
    assert "aten::" in gpu_models.profiled("smollm2", gpu_models.CASES["bc"], tiny=True)


def test_what_is_measured_is_kept_and_failures_are_tried_again(tmp_path):
    kept = gpu_check.Kept(tmp_path / "machine.json")
    kept.measure("bf16 product", lambda: {"tflops": 100.0})
    kept.measure("large", lambda: (_ for _ in ()).throw(RuntimeError("out of memory")))
    again = gpu_check.Kept(tmp_path / "machine.json")
    again.measure("bf16 product", lambda: pytest.fail("measured twice"))
    assert again.rows["large"] == {"error": "RuntimeError: out of memory"}
    again.measure("large", lambda: {"tflops": 50.0})
    assert json.loads((tmp_path / "machine.json").read_text())["large"] == {"tflops": 50.0}
    (tmp_path / "smollm2.json").write_text(json.dumps({"bc": {"model_tflops": 40.0}}))
    assert "| bc | 40 | 0.4 |" in "\n".join(gpu_check.summary(tmp_path))


def test_a_part_that_takes_too_long_is_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(gpu_check.LIMITS, "machine", 0.05)
    assert gpu_check.run_parts(["machine"], tmp_path, tiny=True) == 1
    assert "machine: stopped after its 0.05 s; call again to go on" in capsys.readouterr().out
    assert (tmp_path / "summary.md").read_text() == ""
