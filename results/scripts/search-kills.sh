#!/bin/sh
# kill -9 at 50 random moments of a search: results/scripts/search-kills.sh build/tools/duet [KILLS] [SEED]
# Each time no process may be left, and in the end proposals, decisions and values must be those of the search that
# nobody disturbed (tests/cli/search_kill.sh, whose TAP this is; the suite does it with five kills).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
exec "$root/tests/cli/search_kill.sh" "$1" "$root" "${2:-50}" "${3:-1}"
