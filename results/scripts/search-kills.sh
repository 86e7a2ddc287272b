#!/bin/sh
# kill -9 at 50 random moments of a search: results/scripts/search-kills.sh build/tools/duet [KILLS] [SEED]
# Each time no process may be left, and in the end proposals, decisions and values must be those of the search that
# nobody disturbed (tests/cli/search_kill.sh, whose TAP this is; the suite does it with five kills). First with tpe, then
# with halving over local, which sees what was left behind.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
kills() { "$root/tests/cli/search_kill.sh" "$1" "$root" "$2" "$3" "$4" "$5"; }
kills "$1" "${2:-50}" "${3:-1}" '"tpe"' 6
kills "$1" "${2:-50}" "${3:-1}" '{"name": "halving", "eta": 2, "rungs": 2, "cohort": 4, "over": "local"}' 14
