"""A server that misbehaves on purpose, with the real one's page: slow, cut, refusing, hostile.

What it answers to POST is a script: texts, which become events, and Gate, CUT or raw bytes between
them. Everything else comes from the real server.
"""
import http.server
import json
import select
import socket
import threading

CUT = object()  # the connection ends here


class Gate:
    """A place in a script where the server waits, until it is opened or the client leaves."""

    def __init__(self):
        self.reached, self.opened, self.left = (threading.Event() for _ in range(3))

    def wait(self, sock):
        self.reached.set()
        while not self.opened.wait(0.005):
            if select.select([sock], [], [], 0)[0] and sock.recv(1, socket.MSG_PEEK) == b"":
                self.left.set()
                raise ConnectionResetError


class Refuse:
    """A whole answer instead of a stream."""

    def __init__(self, status, message, **headers):
        self.status, self.headers = status, headers
        self.body = json.dumps(
            {"error": {"code": "refused", "type": "error", "message": message, "param": None}}
        )


def chat_event(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more}


def token(id, text, logprob=-0.5, top=None):
    """An entry of /generate's logprobs."""
    entry = {"id": id, "text": text, "bytes": list(text.encode()), "logprob": logprob}
    top = top or [(id, text, logprob), (id + 1000, " other", -2.0)]
    entry["top"] = [
        {"id": i, "text": t, "bytes": list(t.encode()), "logprob": p} for i, t, p in top
    ]
    return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.fake.sockets.append(self.connection)

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True

    def send_whole(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        refusal = self.server.fake.refused.get(self.path)
        if refusal:
            self.send_refusal(refusal)
            return
        real = self.server.fake.real.get(self.path)
        kept = [
            (name, value)
            for name, value in real.headers
            if name.lower() not in ("content-length", "date", "transfer-encoding", "connection")
        ]
        self.send_whole(real.status, kept, real.body)

    def do_POST(self):
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake.requests.append((self.path, body, dict(self.headers)))
        script = fake.scripts.get(self.path, Refuse(404, "there is nothing at this path"))
        if callable(script):
            script = script(body)
        if isinstance(script, Refuse):
            self.send_refusal(script)
        elif isinstance(script, dict):
            self.send_whole(
                200, [("Content-Type", "application/json")], json.dumps(script).encode()
            )
        else:
            self.send_stream(script)

    def send_refusal(self, refusal):
        headers = [(name.replace("_", "-"), value) for name, value in refusal.headers.items()]
        headers.append(("Content-Type", "application/json"))
        self.send_whole(refusal.status, headers, refusal.body.encode())

    def send_stream(self, script):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for step in script:
            if step is CUT:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if isinstance(step, Gate):
                step.wait(self.connection)
            elif isinstance(step, bytes):
                self.wfile.write(step)
            else:
                self.wfile.write(self.event(step))
            self.wfile.flush()

    def event(self, step):
        if isinstance(step, str):
            step = chat_event({"content": step})
        return b"data: " + json.dumps(step).encode() + b"\n\n"


class Fake:
    """real: a running service that all other answers come from."""

    def __init__(self, real):
        self.real, self.scripts, self.requests, self.sockets = real, {}, [], []
        self.refused = {}  # what GET answers instead, by path
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads, self.http.fake = True, self
        self.host = f"127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def chat(self, *steps, finish="stop", done=True):
        """The script of the next chats: texts and what else a script may hold."""
        ending = [chat_event({}, finish), b"data: [DONE]\n\n"] if done else []
        self.scripts["/v1/chat/completions"] = [chat_event({"role": "assistant"}), *steps, *ending]

    def continuation(self, *tokens, finish="length", prompt_ids=(1, 2)):
        ending = {"text": "", "tokens": [], "logprobs": [], "finish_reason": finish, "seed": 7}
        events = [
            one if not isinstance(one, dict) else
            {"text": one["text"], "tokens": [one["id"]], "logprobs": [one]}
            for one in tokens
        ]  # fmt: skip
        self.scripts["/generate"] = [*events, ending, b"data: [DONE]\n\n"]
        self.scripts["/tokenize"] = {"tokens": list(prompt_ids)}

    def sent(self, path):
        """The bodies that came to a path."""
        return [body for where, body, _ in self.requests if where == path]

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed before
                pass
