"""How the three packages may depend on each other, and where chance may come from."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("lang_envs", "datasets_builders", "agents")
FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "scipy", "matplotlib")
GENERATORS = {"Generator", "BitGenerator", "PCG64", "SeedSequence", "default_rng"}


def name_of(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    layer = path.relative_to(ROOT).parts[0]
    to_the_right = LAYERS[LAYERS.index(layer) + 1 :]
    wrong = [name for name in imported(ast.parse(path.read_text())) if name.split(".")[0] in to_the_right]
    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_chance_comes_from_generators_only(path):
    if name_of(path) == "lang_envs/checker.py":
        return  # it looks at the global generators' states, to find out who else uses them
    tree = ast.parse(path.read_text())
    assert "random" not in set(imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in GENERATORS, f"{name_of(path)}:{node.lineno} uses np.random.{node.attr}"


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_import_is_light():
    loaded = modules_after("import lang_envs")
    assert not loaded.intersection(HEAVY)


def test_every_module_of_lang_envs_is_light():
    names = [name_of(path)[:-3].replace("/", ".") for path in FILES if path.parts[len(ROOT.parts)] == "lang_envs"]
    openenv = [name for name in names if name.startswith("lang_envs.openenv.")]
    rest = [name for name in names if name not in openenv]
    loaded = modules_after("\n".join(f"import {name.removesuffix('.__init__')}" for name in rest))
    assert not loaded.intersection(HEAVY) and "openenv" not in loaded and "trl" not in loaded
    loaded = modules_after("\n".join(f"import {name.removesuffix('.__init__')}" for name in openenv))
    assert not loaded.intersection({"torch", "transformers", "datasets"})  # openenv itself needs pyarrow


def test_public_names():
    import lang_envs

    assert sorted(lang_envs.__all__) == lang_envs.__all__
    assert all(hasattr(lang_envs, name) for name in lang_envs.__all__)
