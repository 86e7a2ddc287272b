#!/bin/sh
# Prints docs/cli.md anew: what is written by hand stays, and every block behind a marker
#   <!-- duet COMMAND --help -->   or   <!-- duet COMMAND --help all -->
# becomes what that command prints now. Fails if a command of `duet --help` has no marker.
#
#   tools/cli-docs.sh build/tools/duet | diff docs/cli.md -       is the page up to date?
#   tools/cli-docs.sh build/tools/duet >cli.new && mv cli.new docs/cli.md
set -eu
[ $# -eq 1 ] || { echo "usage: tools/cli-docs.sh DUET" >&2; exit 2; }
page=$(dirname "$0")/../docs/cli.md
DUET_CPU=generic # `duet --help` names the tier in use
export DUET_CPU

for c in $("$1" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    grep -q "^<!-- duet $c --help\( all\)\{0,1\} -->\$" "$page" || { echo \
        "cli-docs: $page has no marker for duet $c" >&2; exit 1; }
done

DUET=$1 awk '
    /^<!-- duet .*--help( all)? -->$/ {
        print
        command = $0
        sub(/^<!-- duet /, "", command)
        sub(/ -->$/, "", command)
        if ((getline fence) <= 0 || fence != "```text") exit failed = 1
        print fence
        pipe = "\"$DUET\" " command
        while ((pipe | getline line) > 0) print line
        if (close(pipe) != 0) exit failed = 1
        while ((more = (getline line)) > 0 && line != "```") {}
        if (more <= 0) exit failed = 1
        print line
        next
    }
    { print }
    END { if (failed) print "cli-docs: line " NR ": no help, or no ```text block behind the marker" > "/dev/stderr" }
' "$page"
