#!/bin/sh
# The commit of this source tree, short, with -dirty where tracked files differ from it; "unknown"
# where the tree is no checkout of its own (a tarball, also one that was unpacked in another
# project's checkout) or git is not there.
cd "$(dirname "$0")/.." || exit 0
top=$(git rev-parse --show-toplevel 2>/dev/null) && [ "$top" = "$(pwd -P)" ] &&
    git --no-optional-locks describe --always --dirty --abbrev=10 --exclude='*' 2>/dev/null ||
    echo unknown
