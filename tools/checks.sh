#!/bin/sh
# The other builds that must stay clean, each built and tested by one command. CI makes the first two,
# and of the third the tests that run several things at once (threads -- machine run):
#
#   tools/checks.sh [clang] [sanitize] [threads] [-- MESON TEST ARGUMENTS]     none of the three: all
#
#   clang     clang with -Werror, in build-clang: unit and fuzz tests, recorded bits
#   sanitize  AddressSanitizer and UBSan, in build-san: unit and fuzz tests; those with real data take
#             long: -- --suite data
#   threads   ThreadSanitizer, in build-tsan: unit tests
#
# Further arguments go to `meson test` instead of the suites: `tools/checks.sh sanitize -- task cli_tasks`.
set -eu
cd "$(dirname "$0")/.."

which=
while [ $# -gt 0 ]; do
    case $1 in
    clang | sanitize | threads) which="$which $1" ;;
    --) shift; break ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# check FOLDER SUITES OPTION...: the rest of the command line instead of SUITES, if there is one
check() {
    dir=$1 suites=$2
    shift 2
    [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >/dev/null
    [ -n "$tests" ] || meson compile -C "$dir" # of named tests, `meson test` builds what they need
    # shellcheck disable=SC2086
    meson test -C "$dir" --timeout-multiplier 10 --print-errorlogs ${tests:-$suites}
}
tests=$*
debug="-Db_lundef=false -Dbuildtype=debugoptimized"
for one in ${which:-clang sanitize threads}; do
    echo "== $one"
    case $one in
    clang)
        command -v clang >/dev/null || { echo "checks: clang is not installed: tools/setup.sh clang" >&2; exit 1; }
        export CC=clang
        check build-clang "--suite unit --suite fuzz --suite golden" -Dwerror=true
        unset CC
        ;;
    sanitize)
        export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
        # shellcheck disable=SC2086
        check build-san "--suite unit --suite fuzz --no-suite data" -Db_sanitize=address,undefined $debug
        ;;
    threads)
        # shellcheck disable=SC2086
        check build-tsan "--suite unit" -Db_sanitize=thread $debug
        ;;
    esac
done
