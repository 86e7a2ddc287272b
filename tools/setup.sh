#!/bin/sh
# Installs what duet builds with, on Debian and Ubuntu; says what to install elsewhere.
# Needs root, directly or through sudo. Does nothing when everything is there.
#
#   tools/setup.sh [clang] [plot] [pictures] [peers] [propose]
#
#   clang     the second compiler too, which only tools/checks.sh needs
#   plot      gnuplot, which only duet plot needs
#   pictures  gnuplot and Chromium, which only the test of its pictures needs
#   propose   curl and jq, which only tools/propose-openai.sh needs
#   peers     what PyTorch is measured with: tools/python-env.sh and results/scripts/peers.py
set -eu

packages="gcc meson ninja-build pkg-config libzstd-dev zlib1g-dev libjansson-dev
libpcre2-dev libutf8proc-dev libxxhash-dev libcmocka-dev"
optional="libdnnl-dev libopenblas0" # loaded at run time; duet works without
for wish; do
    case $wish in
    clang) packages="$packages clang libomp-dev" ;;
    plot) packages="$packages gnuplot-nox" ;;
    pictures) packages="$packages gnuplot-nox chromium" ;;
    peers) packages="$packages g++ python3-venv libtcmalloc-minimal4 libjemalloc2" ;;
    propose) packages="$packages curl ca-certificates jq" ;;
    *) echo "setup: $wish is not known; arguments are clang, plot, pictures, peers, propose" >&2; exit 2 ;;
    esac
done

have() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian or Ubuntu. Install, by the names of your system:" >&2
    echo "  a C17 compiler with OpenMP, meson >= 1.0, ninja, pkg-config," >&2
    echo "  zstd, zlib, jansson, PCRE2, utf8proc, xxHash (with headers), cmocka for the tests;" >&2
    echo "  oneDNN 2.x and OpenBLAS if you want their matrix products too, gnuplot for duet plot." >&2
    for tool in meson ninja pkg-config; do
        command -v $tool >/dev/null || { echo "setup: $tool is missing" >&2; exit 1; }
    done
    exit 0
fi

# An old meson fails with riddles: say it here.
meson_is_old() {
    command -v meson >/dev/null && [ "$(meson --version | cut -d. -f1)" -lt 1 ] 2>/dev/null
}

missing=""
for p in $packages; do have "$p" || missing="$missing $p"; done
wanted=""
for p in $optional; do have "$p" || wanted="$wanted $p"; done
check_meson() {
    if meson_is_old; then
        echo "setup: meson $(meson --version) is too old, duet needs 1.0 or newer (pipx install meson)" >&2
        exit 1
    fi
}
[ -n "$missing$wanted" ] || { check_meson; exit 0; }

run=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then
        run=sudo
    elif [ -z "$missing" ]; then
        exit 0
    else
        echo "setup: run as root: apt-get install$missing" >&2
        exit 1
    fi
fi

echo "setup: installing$missing$wanted"
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq || echo "setup: apt-get update failed; trying with the lists there are" >&2
# shellcheck disable=SC2086
[ -z "$missing" ] || $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
for p in $wanted; do
    $run apt-get install -y -qq --no-install-recommends "$p" >/dev/null ||
        echo "setup: $p is not available here; duet works without it" >&2
done
check_meson
