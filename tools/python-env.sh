#!/bin/sh
# Makes the Python environment of what duet is measured beside (PyTorch), as it is pinned in
# tests/clients/requirements.txt: in $DUET_VENV, default ~/.cache/duet/venv (about 1 GB). Does
# nothing when that is there. duet needs none of it to be built, and its tests do without.
#
#   tools/python-env.sh            installs
#   tools/python-env.sh --check    only says whether that is there: exit 1 and why if not
#
# Needs python3 >= 3.11 with venv (tools/setup.sh peers). Where pip's index has builds of torch for
# CUDA only, gigabytes of them, set PIP_EXTRA_INDEX_URL to that of PyTorch's CPU builds.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
wanted=$here/tests/clients/requirements.txt
venv=${DUET_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/duet/venv}

say() { echo "python-env: $*" >&2; }

# The stamp is written last: the list that was installed.
is_there() { [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/installed"; }

case $#,${1:-} in
0,) ;;
1,--check)
    is_there && exit 0
    say "$venv is not what $wanted says: run tools/python-env.sh"
    exit 1
    ;;
*)
    say "usage: python-env.sh [--check]"
    exit 2
    ;;
esac
is_there && exit 0

command -v python3 >/dev/null || { say "python3 is not installed"; exit 1; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { say "$(python3 --version) is older than 3.11"; exit 1; }
mkdir -p "$venv"
if command -v flock >/dev/null; then # one installs, others wait
    exec 9>"$venv/lock"
    flock 9
    is_there && exit 0
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python3 -m venv --clear "$venv" || { say "python3 cannot make $venv"; exit 1; }
fi
say "installing into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" ||
    { say "pip could not install what $wanted says"; exit 1; }
cp "$wanted" "$venv/installed"
