#!/bin/sh
# tools/propose-openai.sh against a server that is made up here: what it sends, what it takes from
# answers, and what it says of failures.
. "$(dirname "$0")/lib.sh"
PROPOSE=$SRC/tools/propose-openai.sh
unset OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL OPENAI_EXTRA OPENAI_TRIES OPENAI_WAIT OPENAI_TIMEOUT

check "--help says what it needs" sh -c '"$1" --help | grep -q OPENAI_BASE_URL' - "$PROPOSE"
for tool in curl jq python3; do
    command -v $tool >tool.out || { skip "asking a server" "no $tool"; finish; }
done
. "$SRC/tests/cli/server.sh"
OPENAI_MODEL=made-up OPENAI_WAIT=0
export OPENAI_MODEL OPENAI_WAIT

cat >lines <<'END'
{"event":"search","space":{"lr":{"log":[0.0001,0.01]}},"trial":1}
{"event":"trial","trial":0,"config":{"lr":0.001},"status":"ok","value":2.5}
END
# ask WHAT [NAME=VALUE...]: what the server does is in the path; out, err and the exit status
ask() {
    ask_what=$1
    shift
    rm -f requests.jsonl
    env OPENAI_BASE_URL="$SERVER/$ask_what" "$@" "$PROPOSE" <lines >out 2>err
    echo $? >status
}
requests() { if [ -e requests.jsonl ]; then wc -l <requests.jsonl | tr -d ' '; else echo 0; fi; }
sent() { jq -r "$1" <requests.jsonl | head -n "${2:-1}"; }

# ---- what is sent, what is printed
ask plain OPENAI_API_KEY='se"c\ret'
check "an answer is printed" equal "$(cat out)" '{"lr":0.003}'
check "nothing else is said" [ ! -s err ]
check "with status 0" equal "$(cat status)" 0
check "one request" equal "$(requests)" 1
check "to the protocol's path" equal "$(sent .path)" /plain/chat/completions
check "the model is named" equal "$(sent .body.model)" made-up
check "the key is a header" equal "$(sent .authorization)" 'Bearer se"c\ret'
jq -rj '.body.messages[1].content' <requests.jsonl >sent.lines
check "the lines are sent as they are" same lines sent.lines
check "behind what the task is" equal "$(sent '.body.messages[0].role')" system
ask plain
check "without a key there is no header" equal "$(sent .authorization)" null
ask plain OPENAI_EXTRA='{"temperature": 0.5, "model": "other"}'
check "members can be added" equal "$(sent '[.body.temperature, .body.model] | join(" ")')" "0.5 other"
ask plain OPENAI_BASE_URL="$SERVER/plain/"
check "a / at the URL's end" equal "$(cat out)" '{"lr":0.003}'
ask fenced
check "an object between words" equal "$(cat out)" '{"lr":0.002,"set.n":{"x":3}}'

# The key is in no command line.
mkdir bin
printf '#!/bin/sh\necho "$*" >>"%s/args"\nexec "%s" "$@"\n' "$WORK" "$(command -v curl)" >bin/curl
printf '#!/bin/sh\necho "$*" >>"%s/args"\nexec "%s" "$@"\n' "$WORK" "$(command -v jq)" >bin/jq
chmod +x bin/curl bin/jq
ask plain PATH="$WORK/bin:$PATH" OPENAI_API_KEY=sesame
check "with another curl" sh -c 'grep -q chat/completions args && grep -q max-time args'
check "the key is in no command line" sh -c '! grep -q sesame args'

# ---- failures
ask busy
check "a busy server is asked again" equal "$(cat out) $(requests)" '{"lr":0.003} 3'
check "which is said" says err 'status 503: too busy; again in 0 s'
ask busy OPENAI_TRIES=2
check "not for ever" equal "$(cat status) $(requests)" "1 2"
check "and said" says err 'status 503: too busy (request 2 of 2)'
check "without an answer" [ ! -s out ]
ask later
check "Retry-After is kept" says err 'status 429: slowly; again in 1 s'
check "and then answered" equal "$(cat out) $(requests)" '{"lr":0.003} 2'
ask forbidden OPENAI_API_KEY=sesame
check "a refusal is not asked again" equal "$(cat status) $(requests)" "1 1"
check "the server's words" says err "^propose-openai: $SERVER/forbidden/chat/completions: status 401: no such key\$"
check "the key is not shown" sh -c '! grep -q sesame err'
ask prose
check "an answer without an object" equal "$(cat status)" 1
check "is shown" says err '^propose-openai: made-up: no JSON object in its answer: I would lower lr. Or not.$'
ask two
check "two objects are none" equal "$(cat status)" 1
ask empty
check "an answer of another protocol" says err 'no choices\[0\].message.content: {"choices":\[\]}'
ask html
check "or of none" says err 'no choices\[0\].message.content: <html>'
ask slow OPENAI_TIMEOUT=1 OPENAI_TRIES=1
check "a server that is silent" says err 'timed out.*(request 1 of 1)'
ask plain OPENAI_BASE_URL=http://127.0.0.1:1/v1 OPENAI_TRIES=2
check "a server that is not there: status" equal "$(cat status)" 1
check "a server that is not there: asked twice" equal "$(grep -c 127.0.0.1 err)" 2

# ---- the environment
wrong() {
    w_name=$1 w_pattern=$2
    shift 2
    ask plain "$@"
    check "$w_name: status" equal "$(cat status)" 2
    check "$w_name" says err "$w_pattern"
}
wrong "no model" '^propose-openai: OPENAI_MODEL is not set' OPENAI_MODEL=
wrong "a number that is none" 'OPENAI_TRIES is "two", expected a whole number' OPENAI_TRIES=two
wrong "more that is no object" 'OPENAI_EXTRA is no JSON object' OPENAI_EXTRA='[1]'
check "nothing is left behind" sh -c '! ls "${TMPDIR:-/tmp}" | grep -q "^propose-openai-"'
finish
