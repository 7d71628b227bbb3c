"""Streams whose events have names, `event: NAME` before `data: JSON`, as Anthropic's API and
OpenAI's Responses send them."""
import json


class NamedStream:
    """One streamed answer, event by event: (name, data)."""

    def __init__(self, service, path, body, headers=None):
        self.connection = service.connect()
        self.connection.send(service.build("POST", path, dict(body, stream=True), headers))
        self.head = self.connection.read_head()
        self.status = self.head.status
        self.parts = self.connection.body_parts(self.head)
        self.pending = b""
        if self.status != 200:
            self.head.body = b"".join(self.parts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            while b"\n\n" not in self.pending:
                part = next(self.parts, None)
                if part is None:
                    assert not self.pending, self.pending
                    raise StopIteration
                self.pending += part
            block, self.pending = self.pending.split(b"\n\n", 1)
            if block.startswith(b":"):
                continue
            name, data = block.split(b"\n")
            assert name.startswith(b"event: ") and data.startswith(b"data: "), block
            data = json.loads(data[6:].decode("utf-8"))
            assert data["type"] == name[7:].decode()
            return data["type"], data


def all_events(service, path, body):
    with NamedStream(service, path, body) as stream:
        assert stream.status == 200, stream.head
        assert stream.head.header("Content-Type") == "text/event-stream; charset=utf-8"
        return list(stream)
