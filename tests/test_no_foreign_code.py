"""Loading files runs no code from them: no source file uses pickles, code of a model's folder, or ``eval``."""

import ast
import json
import re
from pathlib import Path

import pytest
from toy_agent import make_env, make_lm

from agents import AGENTS, LM, Agent
from lang_envs.pretrained import load_config, load_tokenizer

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for part in ("lang_envs", "datasets_builders", "agents", "scripts", "examples")
    for path in (ROOT / part).rglob("*.py")
]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
CODE = re.compile(r"```(?:python|py)[^\n]*\n(.*?)```", re.DOTALL)
LOADERS = {"from_pretrained", "from_config", "load_dataset"}
OURS = {"LM.from_pretrained", "nn.Embedding.from_pretrained", "super().from_pretrained", "minari.load_dataset"}
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def faults(code: str) -> list[str]:
    """What of the code could run code that it loads."""
    tree, found = ast.parse(code), []
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN]
    for call in calls(tree):
        name, given = ast.unparse(call.func), {k.arg: ast.unparse(k.value) for k in call.keywords}
        last = name.split(".")[-1]
        if last in LOADERS and name not in OURS and given.get("trust_remote_code") != "False":
            found.append(f"{name} without trust_remote_code=False")
        if name == "torch.load" and given.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if name in ("eval", "exec", "read_pickle", "pd.read_pickle", "yaml.load", "yaml.unsafe_load"):
            found.append(name)
        if given.get("allow_pickle", "False") != "False" or given.get("trust_remote_code", "False") != "False":
            found.append(f"{name} with what it should not have")
    return found


def test_no_source_file_runs_what_it_loads() -> None:
    assert len(SOURCES) > 150
    told = {str(path.relative_to(ROOT)): found for path in SOURCES if (found := faults(path.read_text()))}
    told |= {page.name: found for page in PAGES for code in CODE.findall(page.read_text()) if (found := faults(code))}
    assert not told


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "torch.load(x)", "eval(x)", "yaml.load(x)",
        "AutoModel.from_pretrained(x)", "AutoModel.from_config(x)", "datasets.load_dataset(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)", "np.load(x, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert faults(code)


CODE_OF_ITS_OWN = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved agent without checksums, beside which code lies; whoever asks is told to run it."""
    AGENTS["ilql"](make_lm()).save(tmp_path / "agent")
    (tmp_path / "agent" / "checksums.json").unlink()
    (tmp_path / "agent" / "own.py").write_text(CODE_OF_ITS_OWN + "C = M = T = None\n")
    monkeypatch.setattr("builtins.input", lambda *_: (tmp_path / "agent" / "asked").touch() or "y")
    return tmp_path / "agent"


def refused(folder: Path) -> None:
    for load in (Agent.load, lambda path: LM.from_pretrained(path, make_env())):
        with pytest.raises(ValueError, match="never run"):
            load(folder)
    assert not (folder / "ran").exists() and not (folder / "asked").exists()


AUTO_MAP = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoTokenizer": ["own.T", "own.T"]}


def test_a_models_own_code_is_never_run(folder: Path) -> None:
    edit(folder / "config.json", auto_map=AUTO_MAP, model_type="own")
    refused(folder)
    with pytest.raises(ValueError, match="never run"):
        load_config(folder)


def test_nor_that_of_the_model_inside_one_with_values(folder: Path) -> None:
    inner = json.loads((folder / "config.json").read_text())["lm"]
    edit(folder / "config.json", lm={**inner, "auto_map": AUTO_MAP, "model_type": "own"})
    for load in (Agent.load, lambda path: LM.from_pretrained(path, make_env())):
        with pytest.raises(ValueError, match="agent"):
            load(folder)
    assert not (folder / "ran").exists() and not (folder / "asked").exists()


def test_a_tokenizers_own_code_is_never_run(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.T", "own.T"]}, tokenizer_class="T")
    for load in (Agent.load, load_tokenizer):
        try:
            load(folder)
        except ValueError as error:
            assert "never run" in str(error)  # either is right: it may not need that code
    assert not (folder / "ran").exists() and not (folder / "asked").exists()


def test_pickled_weights_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Agent.load(folder)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        LM.from_pretrained(folder, make_env())
