"""A loaded agent is what was saved, or an error names the damaged file; a save can be stopped at any instant."""

import builtins
import io
import json
import os
import shutil
import struct
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_agent import Toy, ToyConfig, make_episodes, make_lm, same_weights, weights

from agents import AGENTS, Agent, Logged
from datasets_builders import folders


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent with values and one with a reference beside it."""
    out = tmp_path_factory.mktemp("saved")
    AGENTS["ilql"](make_lm()).learn(Logged(make_episodes(16)), 1, batch_size=8).save(out / "ilql")
    AGENTS["dpo"](make_lm()).learn(Logged(make_episodes(16)), 1, batch_size=8).save(out / "dpo")
    return out


def copied(saved: Path, tmp_path: Path, name: str = "ilql") -> Path:
    return Path(shutil.copytree(saved / name, tmp_path / "agent"))


FILES = ["agent.json", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "gone"])
@pytest.mark.parametrize("file", [*FILES, "reference/model.safetensors", "reference/config.json"])
def test_any_file_that_is_not_what_was_written_is_named(saved: Path, tmp_path: Path, file: str, harm: str) -> None:
    folder = copied(saved, tmp_path, "dpo")
    content = bytearray((folder / file).read_bytes())
    content[-9] ^= 1
    (folder / file).write_bytes(content[:-20] if harm == "cut" else content)
    if harm == "gone":
        (folder / file).unlink()
    with pytest.raises(ValueError, match=file.replace(".", r"\.") if file != "agent.json" else "agent"):
        Agent.load(folder)


def without_checksums(folder: Path) -> None:
    """As an earlier version wrote it."""
    (folder / "checksums.json").unlink()


def refused(folder: Path, words: str) -> None:
    without_checksums(folder)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=words) as refusal:
        warnings.simplefilter("ignore")
        Agent.load(folder)
    assert str(folder) in str(refusal.value)


def test_an_agent_of_an_earlier_version_opens_with_a_warning(saved: Path, tmp_path: Path) -> None:
    without_checksums(folder := copied(saved, tmp_path))
    with pytest.warns(UserWarning, match=r"has no checksums\.json"):
        assert Agent.load(folder).step == 1


@pytest.mark.parametrize("field", ["config", "step", "algorithm", "max_utterance_tokens", "format_version"])
def test_a_description_that_lacks_a_field(saved: Path, tmp_path: Path, field: str) -> None:
    folder = copied(saved, tmp_path)
    found = json.loads((folder / "agent.json").read_text())
    found.pop(field)
    (folder / "agent.json").write_text(json.dumps(found))
    refused(folder, f"'{field}' is missing" if field != "format_version" else "format None")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": "1"}, "step must be of the type int, not '1'"),
        ({"step": True}, "step must be"),
        ({"step": -1}, "step must be at least 0"),
        ({"max_utterance_tokens": 0}, "max_utterance_tokens must be at least 1"),
        ({"algorithm": []}, "algorithm must be of the type str"),
        ({"algorithm": "bc"}, "which 'bc' cannot use"),
        ({"config": None}, "config must be of the type"),
        ({"config": {"tau": "high"}}, "tau must be of the type float, not 'high'"),
        ({"config": {"num_q": 1}}, "num_q=2 instead of 1"),
        ({"config": {"learning_rate": 1}}, "no field 'learning_rate'"),
        ({"fit": {"batch_size": None}}, "batch_size must be of the type int"),
        ({"lora": {"rank": "x"}}, "rank must be of the type int"),
        ({"extra": 1}, "no field 'extra'"),
    ],
)
def test_a_description_with_other_values(saved: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    folder = copied(saved, tmp_path)
    found = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps(found | changes))
    refused(folder, words)


def nan(weights: dict[str, torch.Tensor]) -> None:
    next(iter(weights.values())).view(-1)[0] = float("nan")


def missing(weights: dict[str, torch.Tensor]) -> None:
    weights.pop("v.layers.0.weight" if "v.layers.0.weight" in weights else sorted(weights)[-1])


def strange(weights: dict[str, torch.Tensor]) -> None:
    weights["other.weight"] = torch.zeros(2)


def reshaped(weights: dict[str, torch.Tensor]) -> None:
    name = next(name for name in weights if name.endswith("wpe.weight"))
    weights[name] = weights[name][:-1].clone()


@pytest.mark.parametrize("part", ["", "reference/"])
@pytest.mark.parametrize(
    ("harm", "words"),
    [(nan, "not finite"), (missing, "no weights for"), (strange, "'other.weight' too many"), (reshaped, "wpe")],
)
def test_weights_that_are_not_the_models(saved: Path, tmp_path: Path, part: str, harm: Any, words: str) -> None:
    folder = copied(saved, tmp_path, "dpo")
    weights = load_file(folder / f"{part}model.safetensors")
    harm(weights)
    save_file(weights, folder / f"{part}model.safetensors", {"format": "pt"})
    refused(folder, words)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"model": 3, "added_tokens": []}', b"\xff\x00"]
)
def test_files_that_cannot_be_parsed(saved: Path, tmp_path: Path, file: str, content: bytes) -> None:
    folder = copied(saved, tmp_path)
    (folder / file).write_bytes(content)
    refused(folder, "agent")


def test_a_header_that_promises_more_than_there_is(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + content[8:])
    refused(folder, "agent")


def test_weights_in_bfloat16_open(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path)
    found = load_file(folder / "model.safetensors")
    save_file({k: v.bfloat16() for k, v in found.items()}, folder / "model.safetensors", {"format": "pt"})
    without_checksums(folder)
    with pytest.warns(UserWarning, match="checksums"):
        opened = weights(Agent.load(folder))
    assert all(torch.equal(opened[name], tensor.bfloat16().float()) for name, tensor in found.items())


class Stopped(BaseException):
    pass


CHANGES = ("replace", "mkdir", "unlink", "rmdir", "open")


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def stop_at(n: int, monkeypatch: pytest.MonkeyPatch, below: Path) -> None:
    """The process ends before the n-th time it changes anything below a folder, and changes nothing from then on."""
    seen = 0

    def stopping(real: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            how = args[0] if args else kwargs.get("mode", "r")
            reads = "open" in real.__name__ and not (how & WRITES if isinstance(how, int) else set(how) & set("wax+"))
            at = os.path.join(f"/proc/self/fd/{kwargs['dir_fd']}", path) if kwargs.get("dir_fd") is not None else path
            if not reads and os.path.realpath(at).startswith(str(below)) and ".lock" not in str(path):
                seen += 1
                if seen >= n:
                    raise Stopped
            return real(path, *args, **kwargs)

        return call

    for name in CHANGES:
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))
    for module in (builtins, io):
        monkeypatch.setattr(module, "open", stopping(open))


def versions(folder: Path) -> int:
    return Agent.load(folder).step


def test_at_every_instant_of_a_save_an_agent_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, folder = Toy(make_lm(), ToyConfig()), tmp_path / "agent"
    monkeypatch.setattr("agents.agent._class_of", lambda saved, folder: Toy)
    agent.save(folder)
    stopped, found = 0, set()
    for n in range(1, 200):
        agent.step = n
        with monkeypatch.context() as patched:
            stop_at(n, patched, tmp_path)
            try:
                agent.save(folder)
                done = True
            except Stopped:
                done, stopped = False, stopped + 1
        found.add(tuple(sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock")))
        assert versions(folder) in ((n,) if done else (n, n - 1))
        if done:
            break
        agent.save(folder)  # what is left behind troubles no later save
        assert versions(folder) == n and [path.name for path in tmp_path.iterdir()] == ["agent"]
    assert done and stopped > 25
    assert ("agent.partial", "agent.replaced") in found  # the instant between the two renames was among them


def test_what_a_killed_save_left_is_not_deleted_before_another_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, folder = Toy(make_lm(), ToyConfig()), tmp_path / "agent"
    agent.save(folder)
    os.replace(folder, tmp_path / "agent.replaced")
    (tmp_path / "agent.partial").mkdir()  # one that is not whole
    (tmp_path / "agent.partial" / "agent.json").write_text("{")
    assert Toy.load(folder).step == 0
    monkeypatch.setattr(agent.lm.tokenizer, "save_pretrained", lambda place: 1 / 0)  # the next save fails
    with pytest.raises(ZeroDivisionError):
        agent.save(folder)
    assert Toy.load(folder).step == 0 and folder.exists()


def test_loading_while_another_saves_finds_a_whole_agent(tmp_path: Path) -> None:
    agent, folder = Toy(make_lm(), ToyConfig()), tmp_path / "agent"
    agent.save(folder)
    before, other, done = weights(agent), Toy(make_lm(), ToyConfig()), threading.Event()

    def save() -> None:
        while not done.is_set():
            other.step += 1
            other.save(folder)
            time.sleep(0.002)

    saving = threading.Thread(target=save)
    saving.start()
    try:
        steps = [(loaded := Toy.load(folder)).step for _ in range(15)]
    finally:
        done.set()
        saving.join()
    assert min(steps) < max(steps) and same_weights(before, weights(loaded))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, folder = Toy(make_lm(), ToyConfig()), tmp_path / "agent"
    agent.save(folder)

    def full(*_: Any, **__: Any) -> None:
        raise Exception(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )  # as safetensors says it

    with monkeypatch.context() as patched:
        patched.setattr(type(agent.model), "save_pretrained", full)
        with pytest.raises(OSError, match=r"the disk is full.*make room"):
            agent.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["agent"] and Toy.load(folder).step == 0


def test_a_folder_that_is_deleted_while_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, write = Toy(make_lm(), ToyConfig()), folders.write_checksums

    def gone(new: Path, leave_out: Any = ()) -> None:
        shutil.rmtree(new)
        new.mkdir()
        write(new, leave_out=leave_out)

    monkeypatch.setattr(folders, "write_checksums", gone)
    with pytest.raises(FileNotFoundError, match=r"agent\.partial was deleted, moved or replaced"):
        agent.save(tmp_path / "agent")
