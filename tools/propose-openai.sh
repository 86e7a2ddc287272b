#!/bin/sh
# Asks a language model for the next configuration of a search: a program for the strategy "command"
# of duet search,
#
#   "strategy": {"name": "command", "run": ["sh", "propose-openai.sh"], "share": 0.3, "over": "cmaes"}
#
# Reads the search as JSON lines on standard input, sends them to a server that speaks OpenAI's
# protocol (its own, vLLM, llama.cpp, Ollama, ...), and prints the JSON object of the answer. Whether
# that is a configuration is for duet to say. Needs curl and jq. From the environment:
#
#   OPENAI_MODEL      the model's name on the server; must be set
#   OPENAI_BASE_URL   default https://api.openai.com/v1; /chat/completions is added
#   OPENAI_API_KEY    the key, if the server wants one; it is in no command line
#   OPENAI_EXTRA      JSON object whose members are added to the request: {"temperature": 0.5}
#   OPENAI_TRIES      requests at most, default 4: again where the server cannot be reached, is busy
#                     (408, 429) or fails (5xx)
#   OPENAI_WAIT       seconds before the second one, twice as many before each further one, default 2;
#                     a server's Retry-After counts where it is longer, up to 60
#   OPENAI_TIMEOUT    seconds that a request may take, default 120
#
# Errors go to standard error, with exit status 1 (2: the environment is wrong).
set -eu
LC_ALL=C
export LC_ALL

say() { echo "propose-openai: $*" >&2; }
flat() { tr '\n\r' '  ' | sed 's/ *$//'; } # text as one line
die() { status=$1; shift; say "$*"; exit "$status"; }

case $#,${1:-} in
0,) ;;
1,--help | 1,-h) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0"; exit 0 ;;
*) die 2 "unknown argument \"$1\"; everything is in the environment, see --help" ;;
esac
for tool in curl jq; do
    command -v $tool >/dev/null || die 1 "$tool is not installed"
done
model=${OPENAI_MODEL:-}
[ -n "$model" ] || die 2 "OPENAI_MODEL is not set, expected the name of a model"
url=${OPENAI_BASE_URL:-https://api.openai.com/v1}
url=${url%/}/chat/completions
extra=${OPENAI_EXTRA:-}
[ -n "$extra" ] || extra='{}'
printf '%s' "$extra" | jq -es 'length == 1 and (.[0] | type == "object")' >/dev/null 2>&1 ||
    die 2 "OPENAI_EXTRA is no JSON object"
tries=${OPENAI_TRIES:-4} pause=${OPENAI_WAIT:-2} limit=${OPENAI_TIMEOUT:-120}
for number in "OPENAI_TRIES $tries" "OPENAI_WAIT $pause" "OPENAI_TIMEOUT $limit"; do
    case ${number#* } in
    '' | *[!0-9]*) die 2 "${number%% *} is \"${number#* }\", expected a whole number" ;;
    esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/propose-openai-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$work/lines"

cat >"$work/task" <<'END'
You choose the next experiment of a search that trains small language models under a fixed budget.
The user's message is JSON lines:
- "search": the options that all trials share ("base"), the budget of a trial, the metric and which way
  is better, and "space": the axes that you choose. Kinds of axes: log and linear [low, high] are real
  numbers; int [low, high] whole numbers; multiple_of with a range; choice: one of a list; share_of: a
  share (within "range", or one of "choice") times the value of another axis, rounded to a multiple of
  "multiple_of" (1 if it is not given and that axis has whole numbers); give the product, not the
  share. An axis with "when" belongs to a configuration only if the axes named there have one of these
  values.
- "trial": what was tried, with "status" and the metric's "value"; "pending" has no result yet;
  "refused", "memory", "time", "nan" and "crash" are configurations that did not work.
- "suggestion": what another strategy would try now.
- "refused": answers of yours that were no valid configuration, and why.
Answer with one JSON object and nothing else: exactly the keys of the space that apply, like "config"
of a trial, in a combination that has not been tried and that you expect to be better than the best.
END

jq -n --arg model "$model" --rawfile task "$work/task" --rawfile lines "$work/lines" \
    --argjson extra "$extra" \
    '{model: $model, messages: [{role: "system", content: $task}, {role: "user", content: $lines}]}
     + $extra' >"$work/body"

# The key goes through a pipe: a command line can be seen by others.
header() {
    [ -n "${OPENAI_API_KEY:-}" ] || return 0
    printf '%s\n' "$OPENAI_API_KEY" |
        sed 's/[\\"]/\\&/g; s/.*/header = "Authorization: Bearer &"/'
}

# One request: $code, and $work/answer. curl's own failure is code 000.
send() {
    : >"$work/answer" >"$work/headers"
    code=$(header | curl -sS -K - -o "$work/answer" -D "$work/headers" -w '%{http_code}' \
        --max-time "$limit" -H 'Content-Type: application/json' --data-binary "@$work/body" \
        "$url" 2>"$work/error") || code=000
}

# Why the request failed, in a line.
why() {
    if [ "$code" = 000 ]; then
        head -n 1 "$work/error"
        return
    fi
    text=$(jq -r '[.error.message?, .error?, .message?] | map(strings) | first // empty' \
        <"$work/answer" 2>/dev/null) || text=
    [ -n "$text" ] || text=$(head -c 300 "$work/answer")
    printf 'status %s: %s' "$code" "$text" | flat | cut -c 1-400
}

try=1
while send; do
    case $code in
    2??) break ;;
    000 | 408 | 429 | 5??) ;;
    *) die 1 "$url: $(why)" ;;
    esac
    [ "$try" -lt "$tries" ] || die 1 "$url: $(why) (request $try of $tries)"
    after=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,6\}\).*/\1/p' "$work/headers" | tail -n 1)
    seconds=$pause
    [ "${after:-0}" -le "$seconds" ] || seconds=$after
    [ "$seconds" -le 60 ] || seconds=60
    say "$url: $(why); again in $seconds s"
    sleep "$seconds"
    try=$((try + 1)) pause=$((pause * 2))
done

jq -er '.choices[0].message.content | strings' <"$work/answer" >"$work/content" 2>/dev/null ||
    die 1 "$url: the answer has no choices[0].message.content: $(head -c 300 "$work/answer" | flat)"

# The one object in a text.
object() { jq -ces 'if length == 1 then .[0] | objects else empty end' 2>/dev/null; }

# All of it, or what stands from its first { to its last }, as between ``` and ```.
object <"$work/content" ||
    flat <"$work/content" | sed 's/^[^{]*//; s/[^}]*$//' | object ||
    die 1 "$model: no JSON object in its answer: $(head -c 300 "$work/content" | flat)"
