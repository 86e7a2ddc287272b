# A server that speaks OpenAI's protocol and answers by the first part of its path; what it was asked
# is in requests.jsonl. Read with . after lib.sh; needs python3. $SERVER is its URL.
cat >server.py <<'END'
import http.server, json, sys, time

PLAIN = json.dumps({"lr": 0.003})
COUNT = {}

def answer(content):
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})

def error(status, text, headers={}):
    return status, headers, json.dumps({"error": {"message": text}})

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        what = self.path.split("/")[1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("requests.jsonl", "a") as f:
            f.write(json.dumps({"path": self.path, "body": body,
                                "authorization": self.headers.get("Authorization")}) + "\n")
        COUNT[what] = COUNT.get(what, 0) + 1
        n = COUNT[what]
        if what == "plain":
            reply = answer(PLAIN)
        elif what == "fenced":
            reply = answer("I’d try this:\n```json\n{\"lr\": 2e-3,\n \"set.n\": {\"x\": 3}}\n```\nGood luck.")
        elif what == "busy":
            reply = answer(PLAIN) if n == 3 else error(503, "too busy")
        elif what == "later":
            reply = answer(PLAIN) if n == 2 else error(429, "slowly", {"Retry-After": "1"})
        elif what == "forbidden":
            reply = error(401, "no such key")
        elif what == "prose":
            reply = answer("I would lower lr.\nOr not.")
        elif what == "two":
            reply = answer(PLAIN + "\n" + PLAIN)
        elif what == "empty":
            reply = 200, {}, '{"choices":[]}'
        elif what == "html":
            reply = 200, {}, "<html></html>"
        elif what == "slow":
            time.sleep(3)
            reply = answer(PLAIN)
        elif what == "counting":  # another lr each time
            reply = answer(json.dumps({"lr": round(0.001 + 0.0001 * n, 6), "batch": 4}))
        else:
            reply = error(404, "no " + what)
        status, headers, text = reply
        try:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            data = text.encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            pass

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
END
python3 server.py >server.url 2>server.err &
server_pid=$!
trap 'kill $server_pid 2>/dev/null; leave' EXIT
for i in $(seq 300); do
    [ -s server.url ] || sleep 0.2
done
SERVER=$(cat server.url)
[ -n "$SERVER" ] || { not_ok "the server does not begin" server.err; finish; }
no_proxy=127.0.0.1
export no_proxy
