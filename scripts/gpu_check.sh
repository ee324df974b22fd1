#!/usr/bin/env bash
# Measures training and decoding on a machine with a graphics card, in 12 minutes: see docs/results/gpu/README.md.
#
#   scripts/gpu_check.sh [--tiny] [--only PART ...]
#
# Results go to $OUT, or else to runs/gpu. A second call continues where the first was stopped. The interpreter is
# $PYTHON, or else that of .venv, or else python3. Packages that it lacks are installed without a network, from the
# wheels in $WHEELS, or else in .whl.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
if [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ]; then python=.venv/bin/python; fi
wheels="${WHEELS:-.whl}" site=""
if compgen -G "$wheels/*.whl" > /dev/null; then
    site="${TMPDIR:-/tmp}/gpu-check-site"
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" "$wheels"/*.whl
fi
export PYTHONPATH="$PWD${site:+:$site}${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1 MPLBACKEND=Agg
exec timeout 720 "$python" scripts/gpu_check.py --out "${OUT:-runs/gpu}" "$@"
