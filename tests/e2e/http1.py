"""HTTP/1.1 over plain sockets: what really came over the wire, and what no library would
send."""
import json
import socket
import struct


class Closed(Exception):
    """The other side ended the connection before a whole answer was there."""


class Response:
    def __init__(self, version, status, headers):
        self.version = version
        self.status = status
        self.headers = headers  # [(name, value)] as received
        self.body = b""

    def header(self, name):
        """The one value of a header, None when absent; twice the same name is an error."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def error(self):
        """The error object of a refusal, its shape checked."""
        error = self.json()["error"]
        assert set(error) == {"code", "type", "message", "param"}, error
        assert isinstance(error["message"], str) and error["message"], error
        return error

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


def encode_body(body):
    if body is None or isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def build_request(method, path, body=None, headers=None, host="127.0.0.1", version="1.1"):
    """The bytes of one request. headers override the default ones; None leaves one out."""
    body = encode_body(body)
    fields = {"Host": host}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    for name, value in (headers or {}).items():
        for known in list(fields):
            if known.lower() == name.lower():
                del fields[known]
        fields[name] = value
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Connection:
    """One connection. address: (host, port), or the path of a Unix socket."""

    def __init__(self, address, timeout):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout=timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed(f"closed with {self.buffer[:200]!r} unread")
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def take_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_head(self):
        """Status line and headers; the body is left."""
        version, status, *_ = self.take_line().decode("latin-1").split(" ", 2)
        headers = []
        while True:
            line = self.take_line().decode("latin-1")
            if not line:
                return Response(version, int(status), headers)
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))

    def body_parts(self, head, method="GET"):
        """The body as it comes, piece by piece, without its transfer coding."""
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            return
        if (head.header("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int(self.take_line().split(b";")[0], 16)
                data = self.take(size)
                assert self.take(2) == b"\r\n"
                if size == 0:
                    return
                yield data
        elif head.header("Content-Length") is not None:
            yield self.take(int(head.header("Content-Length")))
        else:
            try:
                while True:
                    if self.buffer:
                        data, self.buffer = self.buffer, b""
                        yield data
                    self.fill()
            except Closed:
                return

    def read_response(self, method="GET"):
        head = self.read_head()
        head.body = b"".join(self.body_parts(head, method))
        return head

    def read_to_end(self):
        """Everything until the other side closes or resets."""
        try:
            while True:
                self.fill()
        except (Closed, ConnectionResetError):
            return self.buffer

    def is_ended(self):
        """Waits for the other side's end; False when more bytes come instead."""
        try:
            self.fill()
            return False
        except (Closed, ConnectionResetError):
            return True

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)


class Stream:
    """One server-sent answer, event by event. At its end `done` says whether [DONE] came."""

    def __init__(self, connection, request):
        self.connection = connection
        connection.send(request)
        self.head = connection.read_head()
        self.status = self.head.status
        self.parts = connection.body_parts(self.head)
        self.pending = b""
        self.comments = []
        self.events = []
        self.ids = []  # the events', where they have some
        self.done = False
        if self.status != 200:
            self.head.body = b"".join(self.parts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """The next event, None at the end of the body."""
        while True:
            while b"\n\n" not in self.pending:
                part = next(self.parts, None)
                if part is None:
                    assert not self.pending, self.pending
                    return None
                self.pending += part
            block, self.pending = self.pending.split(b"\n\n", 1)
            if block.startswith(b":"):
                self.comments.append(block)
                continue
            if block.startswith(b"id: "):
                number, block = block[4:].split(b"\n", 1)
                self.ids.append(int(number))
            assert block.startswith(b"data: ") and b"\n" not in block, block
            assert not self.done, f"{block!r} after [DONE]"
            if block == b"data: [DONE]":
                self.done = True
                continue
            event = json.loads(block[6:].decode("utf-8"))
            self.events.append(event)
            return event

    def read_tokens(self, n):
        """Reads events until at least n tokens have come."""
        while sum(len(e.get("tokens", [])) for e in self.events) < n:
            assert self.next() is not None, self.events[-1:]
        return self

    def finish(self):
        """Reads to the end; the joined answer in the shape of the JSON form."""
        while self.next() is not None:
            pass
        assert self.events, "an empty stream"
        last = self.events[-1]
        if "error" in last:
            return last
        answer = dict(last)
        answer["text"] = "".join(e["text"] for e in self.events)
        answer["tokens"] = [t for e in self.events for t in e["tokens"]]
        if "logprobs" in last:
            answer["logprobs"] = [entry for e in self.events for entry in e["logprobs"]]
        return answer
