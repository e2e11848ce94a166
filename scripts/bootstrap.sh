#!/bin/sh
# Make .venv from requirements.lock. Assumes Python 3.11 or newer and a reachable package index; says what is missing.
set -eu
cd "$(dirname "$0")/.."

python=""
for candidate in python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "error[python.missing] PATH: Python 3.11 or newer is needed and was not found. Install it and run make again." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "error[python.incomplete] venv: $python cannot make virtual environments. Install its venv package (Debian: python3-venv)." >&2
    exit 1
fi

echo "setting up .venv (once)" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check "uv==0.13.9"
.venv/bin/uv pip sync -q --python .venv/bin/python --require-hashes requirements.lock
.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
# A command answers at once also where Python may not write bytecode next to the modules it loads (PYTHONDONTWRITEBYTECODE).
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -m compileall -q "$site/typer" "$site/pydantic" "$site/pydantic_core" "$site/asyncpg" "$site/orjson" \
    "$site/annotated_types" "$site/typing_extensions.py" "$site/typing_inspection" viox shared sandbox || true
touch .venv/.ready
