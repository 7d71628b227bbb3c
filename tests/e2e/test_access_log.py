"""The line that each request writes: whom it came from, what it asked for, why it was refused."""
import json

import pytest

from service import poll, run_verb


def line_of(service, request_id):
    """The fields of that request's line."""
    lines = poll("the line", lambda: service.log_lines(f'"{request_id}"'))
    return json.loads(lines[0])


@pytest.fixture
def logged(shared):
    return shared("--log-format", "json", "--log-level", "debug", "--trusted-proxy",
                  "127.0.0.1,10.0.0.0/8", "--trusted-proxy", "fd00::/8")


def ask(service, method, path, body=None, **headers):
    """The line of one request."""
    ask.n += 1
    name = f"ask-{ask.n}"
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    response = service.request(method, path, body, {"X-Request-Id": name, **headers})
    line = line_of(service, name)
    assert line["status"] == response.status
    return line


ask.n = 0


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
def test_probes_and_scrapes_are_for_debugging(logged, serve, path):
    assert ask(logged, "GET", path)["level"] == "debug"
    assert ask(logged, "HEAD", path)["level"] == "debug"
    assert ask(logged, "POST", path, {"a": 1})["level"] == "info"  # refused
    service = serve()
    service.get(path)
    service.get("/info")
    poll("the line after it", lambda: service.log_lines("route=/info"))
    assert not service.log_lines(f"route={path} ")


def test_what_serves_people_is_info(logged):
    line = ask(logged, "POST", "/generate", {"prompt": "Once", "max_tokens": 1})
    assert line["level"] == "info" and line["client"] == "127.0.0.1"
    assert "reason" not in line and "path" not in line


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing%20here", "/" + "x" * 1000,
                                  "/a\"b\\c'd", "/caf%C3%A9", "/nothing?secret=1",
                                  "http://localhost/else"])
def test_an_unknown_path_is_shown(logged, path):
    line = ask(logged, "GET", path, Host="localhost")
    shown = path.replace("http://localhost", "").split("?")[0]
    assert line["status"] == 404 and line["route"] == "other"
    assert line["path"] == shown[:127] and "secret" not in json.dumps(line)
    assert "nothing at this path" in line["reason"]


def test_the_reason_of_a_refusal_is_said(logged):
    assert "prompt" in ask(logged, "POST", "/generate", {})["reason"]
    assert "max_tokens" in ask(logged, "POST", "/generate", {"prompt": "a",
                                                             "max_tokens": 99999})["reason"]
    assert "method" in ask(logged, "DELETE", "/generate")["reason"]
    assert "Host" in ask(logged, "GET", "/info", Host="evil.example")["reason"]


def test_a_reason_quotes_nothing_of_a_prompt(logged):
    for body in ({"prompt": "a", "my secret": 1}, {"prompt": "a", "logit_bias": {"secret": 1}},
                 {"prompt": {"secret": 1}}, {"prompt": "a", "seed": "secret"},
                 {"prompt": "a", "temperature": "secret"}):
        line = ask(logged, "POST", "/generate", body)
        assert line["status"] == 400 and line["reason"]
        assert "secret" not in json.dumps(line), line


def test_keys_that_are_missing_are_said(serve, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alpha\n")
    service = serve("--log-format", "json", "--api-key-file", keys)
    line = ask(service, "GET", "/metrics")
    assert line["status"] == 401 and line["level"] == "info" and "API key" in line["reason"]


def test_a_request_that_is_no_request_has_its_reason(logged):
    before = len(logged.log_lines('"status":400'))
    assert logged.send_raw(b"GET / HTTP/1.1\r\n: x\r\n\r\n").status == 400
    lines = poll("the line", lambda: logged.log_lines('"status":400')[before:])
    line = json.loads(lines[0])
    assert line["reason"] and line["client"] == "127.0.0.1"


@pytest.mark.parametrize("value, client", [
    ("1.2.3.4", "1.2.3.4"),
    ("6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
    ("[2001:db8::1]:443, fd00::2", "2001:db8::1"),
    ("::ffff:1.2.3.4", "1.2.3.4"),
    ("spoof\"ed", "127.0.0.1"),
    ("10.0.0.1", "10.0.0.1"),
])
def test_a_trusted_proxy_names_its_client(logged, value, client):
    assert ask(logged, "GET", "/info", X_Forwarded_For=value)["client"] == client


def test_several_fields_are_one_list(logged):
    with logged.connect() as connection:
        connection.send(b"GET /info HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: two-fields\r\n"
                        b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nx-forwarded-for: 10.0.0.1\r\n\r\n")
        assert connection.read_response().status == 200
    assert line_of(logged, "two-fields")["client"] == "1.2.3.4"


def test_others_are_not_believed(serve, tmp_path):
    service = serve("--log-format", "json")
    assert ask(service, "GET", "/info", X_Forwarded_For="1.2.3.4")["client"] == "127.0.0.1"
    service = serve("--log-format", "json", unix=str(tmp_path / "socket"))
    assert ask(service, "GET", "/info", X_Forwarded_For="1.2.3.4")["client"] == "unix"
    service = serve("--log-format", "json", "--trusted-proxy", "unix", unix=str(tmp_path / "s"))
    assert ask(service, "GET", "/info", X_Forwarded_For="1.2.3.4")["client"] == "1.2.3.4"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example", "::1/129", "10.0.0.1:80"])
def test_a_network_that_is_none_is_refused(text):
    done = run_verb("serve", "--port", 0, "--trusted-proxy", text)
    assert done.returncode == 2 and f'--trusted-proxy: "{text}"'.encode() in done.stderr, done
