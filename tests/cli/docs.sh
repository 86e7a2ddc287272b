#!/bin/sh
# docs/cli.md holds the help texts as they are printed now.
"$2/tools/cli-docs.sh" "$1" | diff "$2/docs/cli.md" - && echo "docs/cli.md is up to date"
