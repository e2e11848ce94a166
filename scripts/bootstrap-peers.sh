#!/bin/sh
# Make .venv-peers from benchmarks/peers/requirements.lock, for `make bench-peers`. Needs .venv (`make` makes it) and a package index.
set -eu
cd "$(dirname "$0")/.."
lock=benchmarks/peers/requirements.lock

# The stamp is a copy of the lock that was installed: the environment is brought up to another lock, and never twice to one.
cmp -s "$lock" .venv-peers/.ready && exit 0
echo "setting up .venv-peers (once)"
rm -f .venv-peers/.ready
[ -x .venv-peers/bin/python ] || .venv/bin/uv venv -q --python .venv/bin/python .venv-peers
.venv/bin/uv pip sync -q --python .venv-peers/bin/python --require-hashes "$lock"
.venv-peers/bin/python -m compileall -q -j 0 .venv-peers/lib || true
cp "$lock" .venv-peers/.ready
