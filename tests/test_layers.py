"""The allowed imports between the three packages, and the allowed sources of random numbers."""

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


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree, known):
    """What a file imports wherever in it: at its top, inside a function, or for the type checker alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in inside)


def test_no_files_import_each_other_in_a_circle():
    files = {module_of(path): path for path in FILES if "templates" not in path.parts}
    hands_on = {"agents"}  # the face of the package defines nothing, and names what others define
    trees = {name: ast.parse(path.read_text()) for name, path in files.items() if name not in hands_on}
    arrows = {name: {*imported_modules(tree, files)} & trees.keys() - {name} for name, tree in trees.items()}
    while leaves := [name for name, targets in arrows.items() if not targets]:
        arrows = {name: targets.difference(leaves) for name, targets in arrows.items() if name not in leaves}
    # what is left lies on a circle, or above one
    assert not arrows, {name: sorted(targets) for name, targets in arrows.items()}
    inner = {name: tree for name, tree in trees.items() if name.startswith("agents.")}
    assert not [name for name, tree in inner.items() if hands_on & {*imported_modules(tree, files)}]


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
