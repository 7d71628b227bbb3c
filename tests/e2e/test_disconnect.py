"""A client that leaves is cancelled within one step, wherever it was, and leaves nothing behind.

Held throughout: one idle keep-alive connection, older than all others.
"""
import random
import signal
import socket
import time

import pytest

import models
from service import poll

WAYS = ["fin", "rst", "half"]
PHASES = ["queued", "prefill", "decode"]
LONG = dict(max_tokens=1100, ignore_eos=True)


def go(connection, way):
    if way == "fin":
        connection.close()
    elif way == "rst":
        connection.reset()
    else:
        connection.half_close()


def cancelled(metrics):
    return {
        phase: metrics.value("smallmind_requests_cancelled_total", phase=phase) for phase in PHASES
    }


def counted_499(metrics):
    return metrics.sum("smallmind_requests_total", code="499")


class Base:
    """The service's state before, which it must have again."""

    def __init__(self, service):
        self.service = service
        self.held = service.connect()
        self.held.send(service.build("GET", "/livez"))
        assert self.held.read_response().status == 200
        self.metrics = service.wait_until_idle()
        self.fds = poll("no other connection", self.settled_fds)

    def settled_fds(self):
        """Open files once two looks agree."""
        first = self.service.count_fds()
        self.service.get("/livez")
        return first if self.service.count_fds() == first else None

    def expect(self, **phases):
        """The counters rise by exactly these; pages and descriptors come back."""
        wanted = cancelled(self.metrics)
        for phase, n in phases.items():
            wanted[phase] += n
        service = self.service
        left = counted_499(self.metrics) + sum(phases.values())

        def seen():
            """A worker counts the one, the loop thread the other, each in its time."""
            metrics = service.metrics()
            return cancelled(metrics), counted_499(metrics)
        poll("the counters", lambda: seen() == (wanted, left))
        service.wait_until_idle()
        assert seen() == (wanted, left)
        poll("pages", lambda: service.metrics().value("smallmind_kv_pages", state="used") == 0)
        poll("descriptors", lambda: service.count_fds() <= self.fds)
        self.held.send(service.build("GET", "/livez"))
        assert self.held.read_response().status == 200
        self.held.close()


@pytest.fixture
def slow(shared):
    return shared("--workers", 1, "--max-batch", 2, "--max-queue", 16, model=models.slow())


def open_streams(service, n, length=8):
    """Streams with prompts that share no prefix with any other."""
    streams = []
    for _ in range(n):
        prompt = [random.randrange(3, 250) for _ in range(length)]
        streams.append(service.stream(prompt=prompt, **LONG))
        assert streams[-1].status == 200, streams[-1].head
    return streams


def wait_for(service, **states):
    for state, n in states.items():
        poll(state, lambda: service.metrics().value(f"smallmind_requests_{state}") == n)


@pytest.mark.parametrize("way", WAYS)
def test_leaving_the_queue(slow, way):
    base = Base(slow)
    running = [stream.read_tokens(1) for stream in open_streams(slow, 2)]
    waiting = open_streams(slow, 5)
    wait_for(slow, queued=5)
    for stream in waiting:
        go(stream.connection, way)
    wait_for(slow, queued=0)
    assert slow.metrics().value("smallmind_requests_running") == 2
    for stream in running:
        stream.read_tokens(len(stream.events) + 1)  # others are not disturbed
        go(stream.connection, way)
    base.expect(queued=5, decode=2)


@pytest.mark.parametrize("way", WAYS)
def test_leaving_in_prefill(slow, way):
    base = Base(slow)
    streams = open_streams(slow, 2, length=900)
    wait_for(slow, running=2)
    for stream in streams:
        go(stream.connection, way)
    base.expect(prefill=2)
    after = slow.metrics()
    made = after.value("smallmind_prompt_tokens_total", source="computed") - base.metrics.value(
        "smallmind_prompt_tokens_total", source="computed"
    )
    assert made < 1800, "the whole prompts were computed all the same"


@pytest.mark.parametrize("way", WAYS)
def test_leaving_in_decode(slow, way):
    base = Base(slow)
    for stream in [stream.read_tokens(3) for stream in open_streams(slow, 2)]:
        go(stream.connection, way)
    base.expect(decode=2)


@pytest.fixture
def slowest(shared):
    """In the reference arithmetic a step takes longer than a thread waits on a busy system."""
    return shared("--workers", 1, "--cpu", "ref", model=models.slow())


@pytest.mark.parametrize("way", WAYS)
def test_less_than_a_steps_tokens_are_made_for_nobody(slowest, way):
    """The process is stopped while the client leaves, so that what was sent can be told from what
    came after: the step under way, and the tokens it had made but not yet sent."""
    slow = slowest
    base = Base(slow)
    stream = open_streams(slow, 1)[0].read_tokens(3)
    slow.signal(signal.SIGSTOP)
    poll("stopped", lambda: is_stopped(slow))
    stream.connection.sock.setblocking(False)
    try:
        while stream.next():
            pass
    except BlockingIOError:
        pass
    sent = sum(len(event["tokens"]) for event in stream.events)
    go(stream.connection, way)
    slow.signal(signal.SIGCONT)
    base.expect(decode=1)
    made = slow.metrics().value("smallmind_generated_tokens_total") - base.metrics.value(
        "smallmind_generated_tokens_total"
    )
    assert sent <= made <= sent + 3


def is_stopped(service):
    with open(f"/proc/{service.pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


def prompt_tokens(metrics):
    return metrics.sum("smallmind_prompt_tokens_total")


@pytest.mark.parametrize("way", WAYS)
def test_leaving_while_an_answer_that_does_not_stream_is_made(slow, way):
    base = Base(slow)
    connections = []
    for _ in range(3):
        connections.append(slow.connect())
        prompt = [random.randrange(3, 250) for _ in range(8)]
        connections[-1].send(slow.build("POST", "/generate", dict(prompt=prompt, **LONG)))
        wait_for(slow, **({"running": len(connections)} if len(connections) < 3 else {"queued": 1}))
    # Both that run have read their prompts: each has decoded, or does in the step that reads the
    # last of them.
    poll("decoding", lambda: prompt_tokens(slow.metrics()) >= prompt_tokens(base.metrics) + 16)
    go(connections[2], way)
    wait_for(slow, queued=0)
    for connection in connections[:2]:
        go(connection, way)
    base.expect(queued=1, decode=2)


def test_request_and_end_in_one_packet_leaves_no_connection_behind(slow):
    base = Base(slow)
    before = sum(cancelled(base.metrics).values())
    for k in range(20):
        connection = slow.connect()
        request = slow.build("POST", "/generate", dict(prompt=[40 + k] * 8, stream=True, **LONG))
        slow.signal(signal.SIGSTOP)  # so that both are there when the service looks
        connection.send(request)
        connection.half_close()
        slow.signal(signal.SIGCONT)
        connection.read_to_end()
        connection.close()
    poll("all cancelled", lambda: sum(cancelled(slow.metrics()).values()) == before + 20)
    slow.wait_until_idle()
    poll("descriptors", lambda: slow.count_fds() <= base.fds)
    base.held.close()


def test_a_client_that_leaves_with_a_pipelined_request_unread(slow):
    base = Base(slow)
    stream = open_streams(slow, 1)[0].read_tokens(2)
    stream.connection.send(slow.build("POST", "/generate", dict(prompt=[5] * 8, **LONG)))
    stream.connection.reset()
    base.expect(decode=1)


def test_leaving_in_the_middle_of_a_request(service):
    base = Base(service)
    request = service.build("POST", "/generate", {"prompt": "x" * 2000, "max_tokens": 3})
    for end in (1, 10, 40, len(request) // 2, len(request) - 1):
        for way in WAYS:
            connection = service.connect()
            connection.send(request[:end])
            go(connection, way)
            if way == "half":
                connection.read_to_end()
                connection.close()
    poll("descriptors", lambda: service.count_fds() <= base.fds)
    base.held.close()


def test_a_reader_that_takes_nothing_is_closed_and_cancelled(serve):
    """Its window fills: the service must neither grow nor wait for it."""
    service = serve("--workers", 1, "--stall-seconds", 1, model=models.small())
    connection = service.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.close()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(service.address)
    sock.sendall(
        service.build(
            "POST",
            "/generate",
            dict(prompt=[5] * 8, stream=True, logprobs=20, max_tokens=2000, ignore_eos=True),
        )
    )
    assert service.answer(prompt=[6] * 8, max_tokens=5, ignore_eos=True)["tokens"]
    poll(
        "closed",
        lambda: service.metrics().value("smallmind_requests_running") == 0
        and service.count_fds()
        and not service_has_peer(service, sock),
    )
    sock.close()


def ask_for_much(service):
    """A client that has asked for some megabytes at once, not in a stream."""
    connection = service.connect()
    connection.send(service.build("POST", "/tokenize", {"text": "a b " * 900000}))
    poll("its answer is on its way", lambda: service.metrics().value(
        "smallmind_requests_total", route="/tokenize", code="200") == 1)
    return connection


def open_connections(service):
    return service.metrics().value("smallmind_connections", state="open")


@pytest.mark.parametrize("over", ["tcp", "unix"])  # the kernel notices only the first by itself
def test_a_client_that_takes_nothing_of_a_whole_answer_is_closed(serve, tmp_path, over):
    service = serve("--stall-seconds", 1, unix=str(tmp_path / "socket") if over == "unix" else None)
    connection = ask_for_much(service)
    poll("closed", lambda: open_connections(service) == 1)
    assert not connection.read_to_end().endswith(b"]}\n"), "all of it was taken"
    connection.close()
    assert service.answer(prompt="Once", max_tokens=2)["tokens"]


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_a_client_that_takes_it_slowly_is_not(serve, tmp_path, over):
    """It takes a little every few tenths of a second, for longer than a stall is borne."""
    service = serve("--stall-seconds", 3, unix=str(tmp_path / "socket") if over == "unix" else None)
    connection = ask_for_much(service)
    begin, received = time.monotonic(), b""
    while time.monotonic() < begin + 4:
        received += connection.sock.recv(65536)
        time.sleep(0.2)
    while not received.endswith(b"]}\n"):
        part = connection.sock.recv(1 << 20)
        assert part, "cut"
        received += part
    connection.close()


def service_has_peer(service, sock):
    """Whether the service still holds the other end of this connection, as the kernel says."""
    port = sock.getsockname()[1]
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    wanted = f":{service.address[1]:04X}"
    return any(
        row[1].endswith(wanted) and row[2].endswith(f":{port:04X}") and row[9] != "0"
        for row in rows
    )


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
def test_a_client_of_several_answers_leaves_before_any_or_all_of_them(serve, leave):
    """Each answer is a job of its own, which ends when it likes: all of them go, others stay."""
    service = serve()
    body = {"prompt": "Once", "n": 2, "max_tokens": 40, "seed": 7}
    alone = service.post("/v1/completions", body).json()["choices"]
    for stream in (False, True) * 10:
        left = service.connect()
        left.send(service.build("POST", "/v1/completions",
                                {**body, "n": 8, "max_tokens": 400, "stream": stream}))
        if stream:
            assert left.read_head().status == 200
        stays = service.connect()
        stays.send(service.build("POST", "/v1/completions", body))
        getattr(left, leave)()
        assert stays.read_response().json()["choices"] == alone
        stays.close()
        left.close()
    assert service.wait_until_idle().value("smallmind_kv_pages", state="used") == 0
