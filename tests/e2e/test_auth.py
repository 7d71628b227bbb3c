"""Keys, and requests that a web page elsewhere makes a browser send."""
import pytest

from service import run_verb

ALPHA, BETA = "alpha-key-0123456789", "beta-key-0123456789"
OPEN = ["/livez", "/readyz", "/health"]
CLOSED = ["/info", "/metrics", "/openapi.yaml", "/debug/profile"]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{ALPHA}\n{BETA}\n")
    return path


@pytest.fixture
def locked(shared, key_file):
    return shared("--api-key-file", key_file)


def test_health_routes_need_no_key(locked):
    for path in OPEN:
        assert locked.get(path).status == 200


@pytest.mark.parametrize("headers", [
    {}, {"X-Api-Key": "wrong"}, {"X-Api-Key": ""}, {"X-Api-Key": ALPHA + "x"},
    {"X-Api-Key": ALPHA[:-1]}, {"Authorization": ALPHA}, {"Authorization": f"Basic {ALPHA}"},
    {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {ALPHA} x"}])
def test_every_other_route_is_401_without_a_right_key(locked, headers):
    for path in CLOSED:
        response = locked.get(path, headers)
        assert response.status == 401, path
        response.error()
    for path in ("/generate", "/tokenize", "/detokenize"):
        response = locked.post(path, {"prompt": "x"}, headers)
        assert response.status == 401 and response.error()["type"]


@pytest.mark.parametrize("headers", [
    {"X-Api-Key": ALPHA}, {"x-api-key": BETA}, {"Authorization": f"Bearer {ALPHA}"},
    {"Authorization": f"bearer {BETA}"}])
def test_any_key_of_the_file_opens(locked, headers):
    assert locked.get("/info", headers).status == 200
    response = locked.generate(headers, prompt="x", max_tokens=2)
    assert response.status == 200


def test_a_key_never_stands_in_the_log(locked):
    locked.get("/info", {"X-Api-Key": ALPHA})
    assert ALPHA not in locked.log()


def test_an_empty_or_missing_key_file_is_an_error(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for path in (empty, tmp_path / "missing"):
        done = run_verb("serve", "--port", 0, "--api-key-file", path)
        assert done.returncode in (1, 2) and str(path).encode() in done.stderr


# --- Origin, Sec-Fetch-Site, Host ---

def status(service, headers, path="/info", method="GET"):
    host = headers.get("Host", service.host)
    return service.request(method, path, headers=dict(headers, Host=host)).status


def test_a_foreign_origin_is_403(service):
    port = service.address[1]
    for origin in ("http://evil.example", "https://evil.example:8080", "null",
                   "http://127.0.0.1:1", f"http://localhost:{port}", "http://127.0.0.1"):
        response = service.get("/info", {"Origin": origin})
        assert response.status == 403, origin
        response.error()
    assert service.get("/info", {"Origin": f"http://127.0.0.1:{port}"}).status == 200


def test_an_origin_equal_to_the_host_is_at_home(service):
    port = service.address[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"app.localhost:{port}"):
        assert status(service, {"Host": host, "Origin": f"http://{host}"}) == 200


@pytest.mark.parametrize("site, mode, path, method, expected", [
    ("cross-site", "cors", "/info", "GET", 403),
    ("same-site", "cors", "/info", "GET", 403),
    ("cross-site", "no-cors", "/metrics", "GET", 403),
    ("cross-site", "navigate", "/info", "GET", 403),
    ("cross-site", None, "/info", "GET", 403),
    ("cross-site", "navigate", "/generate", "POST", 403),
    ("same-origin", "cors", "/info", "GET", 200),
    ("none", "navigate", "/info", "GET", 200)])
def test_sec_fetch_site(service, site, mode, path, method, expected):
    headers = {"Sec-Fetch-Site": site}
    if mode:
        headers["Sec-Fetch-Mode"] = mode
    body = {"prompt": "x", "max_tokens": 1} if method == "POST" else None
    assert service.request(method, path, body, headers).status == expected


def test_a_navigation_to_the_page_from_elsewhere_is_let_in(service):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.get("/", headers).status in (200, 404)  # 404: a service without a page
    assert service.get("/", {"Sec-Fetch-Site": "cross-site",
                             "Sec-Fetch-Mode": "cors"}).status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost:1", "a.localhost",
                                  "127.0.0.1", "127.9.8.7:80", "[::1]", "[::1]:8080",
                                  "a.b.localhost:9"])
def test_names_of_this_machine_are_right_hosts(service, host):
    assert status(service, {"Host": host}) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example",
                                  "localhost.evil.example", "evillocalhost", "0.0.0.0", "10.0.0.1",
                                  "[::2]", "128.0.0.1", "127.0.0.1evil", "",
                                  "127.0.0.256", "127.1"])
def test_other_hosts_are_403_on_loopback(service, host):
    assert status(service, {"Host": host}) in (400, 403)


def test_an_allowed_origin_is_let_in_and_told_so(serve):
    origin = "https://app.example"
    service = serve("--allow-origin", origin)
    response = service.generate({"Origin": origin, "Sec-Fetch-Site": "cross-site",
                                 "Sec-Fetch-Mode": "cors"}, prompt="x", max_tokens=1)
    assert response.status == 200
    assert response.header("Access-Control-Allow-Origin") == origin
    preflight = service.request("OPTIONS", "/generate", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization"})
    assert preflight.status in (200, 204)
    assert preflight.header("Access-Control-Allow-Origin") == origin
    assert "POST" in preflight.header("Access-Control-Allow-Methods")
    allowed = preflight.header("Access-Control-Allow-Headers").lower()
    assert "content-type" in allowed and "authorization" in allowed
    assert service.get("/info", {"Origin": "https://other.example"}).status == 403


def test_nobody_is_told_of_an_origin_that_was_not_allowed(service):
    response = service.get("/info")
    assert response.header("Access-Control-Allow-Origin") is None


def test_not_bound_to_loopback_any_host_will_do(serve):
    service = serve("--host", "0.0.0.0")
    assert status(service, {"Host": "models.internal.example"}) == 200
    assert status(service, {"Host": "a.example", "Origin": "http://b.example"}) == 403
