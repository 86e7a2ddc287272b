#!/bin/sh
# Installs what is missing, builds, runs every test. Arguments go to `meson test`.
set -eu
cd "$(dirname "$0")"
tools/setup.sh
[ -f build/build.ninja ] || meson setup build -Dwerror=true
meson compile -C build
meson test -C build --print-errorlogs "$@"
