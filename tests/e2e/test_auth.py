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


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": ""},
        {"X-Api-Key": ALPHA + "x"},
        {"X-Api-Key": ALPHA[:-1]},
        {"Authorization": ALPHA},
        {"Authorization": f"Basic {ALPHA}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {ALPHA} x"},
    ],
)
def test_every_other_route_is_401_without_a_right_key(locked, headers):
    for path in CLOSED:
        response = locked.get(path, headers)
        assert response.status == 401, path
        response.error()
    for path in ("/generate", "/tokenize", "/detokenize"):
        response = locked.post(path, {"prompt": "x"}, headers)
        assert response.status == 401 and response.error()["type"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Api-Key": ALPHA},
        {"x-api-key": BETA},
        {"Authorization": f"Bearer {ALPHA}"},
        {"Authorization": f"bearer {BETA}"},
    ],
)
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
    for origin in (
        "http://evil.example",
        "https://evil.example:8080",
        "null",
        "http://127.0.0.1:1",
        f"http://localhost:{port}",
        "http://127.0.0.1",
    ):
        response = service.get("/info", {"Origin": origin})
        assert response.status == 403, origin
        response.error()
    assert service.get("/info", {"Origin": f"http://127.0.0.1:{port}"}).status == 200


def test_an_origin_equal_to_the_host_is_at_home(service):
    port = service.address[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"app.localhost:{port}"):
        assert status(service, {"Host": host, "Origin": f"http://{host}"}) == 200


@pytest.mark.parametrize(
    "site, mode, path, method, expected",
    [
        ("cross-site", "cors", "/info", "GET", 403),
        ("same-site", "cors", "/info", "GET", 403),
        ("cross-site", "no-cors", "/metrics", "GET", 403),
        ("cross-site", "navigate", "/info", "GET", 403),
        ("cross-site", None, "/info", "GET", 403),
        ("cross-site", "navigate", "/generate", "POST", 403),
        ("same-origin", "cors", "/info", "GET", 200),
        ("none", "navigate", "/info", "GET", 200),
    ],
)
def test_sec_fetch_site(service, site, mode, path, method, expected):
    headers = {"Sec-Fetch-Site": site}
    if mode:
        headers["Sec-Fetch-Mode"] = mode
    body = {"prompt": "x", "max_tokens": 1} if method == "POST" else None
    assert service.request(method, path, body, headers).status == expected


def test_a_navigation_to_the_page_from_elsewhere_is_let_in(service):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.get("/", headers).status in (200, 404)  # 404: a service without a page
    assert (
        service.get("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}).status == 403
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost:1",
        "a.localhost",
        "127.0.0.1",
        "127.9.8.7:80",
        "[::1]",
        "[::1]:8080",
        "a.b.localhost:9",
        "localhost.",
        "localhost.:8080",
        "[0::1]:1",
        "localhost \t",
    ],
)
def test_names_of_this_machine_are_right_hosts(service, host):
    assert status(service, {"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "localhost:1x",
        "0.0.0.0",
        "10.0.0.1",
        "[::2]",
        "128.0.0.1",
        "127.0.0.1evil",
        "",
        "127.0.0.256",
        "127.1",
    ],
)
def test_other_hosts_are_403_on_loopback(service, host):
    assert status(service, {"Host": host}) in (400, 403)


APPS = ["https://app.example", "http://tool.example:3000"]


def cors(origin, **more):
    return {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", **more}


@pytest.fixture
def apps(shared):
    return shared("--allow-origin", APPS[0], "--allow-origin", APPS[1])


@pytest.mark.parametrize("origin", APPS)
def test_an_allowed_origin_is_let_in_and_told_so(apps, origin):
    response = apps.generate(cors(origin), prompt="x", max_tokens=1)
    assert response.status == 200
    assert response.header("Access-Control-Allow-Origin") == origin
    assert response.header("Vary") == "Origin"
    exposed = {
        name.strip().lower() for name in response.header("Access-Control-Expose-Headers").split(",")
    }
    assert exposed == {
        "x-request-id",
        "x-seed",
        "x-model-fingerprint",
        "retry-after",
        "server-timing",
        "traceresponse",
    }
    with apps.stream(cors(origin), prompt="x", max_tokens=1) as stream:
        assert stream.head.header("Access-Control-Allow-Origin") == origin


def test_a_cache_learns_that_answers_depend_on_the_origin(apps):
    response = apps.get("/info")
    assert response.header("Access-Control-Allow-Origin") is None
    assert response.header("Vary") == "Origin"
    assert apps.get("/info", {"Origin": "https://other.example"}).status == 403


def preflight(service, origin, path="/generate", **more):
    headers = cors(origin, **{"Access-Control-Request-Method": "POST"})
    headers.update(
        {f"Access-Control-Request-{name.replace('_', '-')}": value for name, value in more.items()}
    )
    return service.request("OPTIONS", path, headers=headers)


def granted(response):
    return [name.strip() for name in response.header("Access-Control-Allow-Headers").split(",")]


@pytest.mark.parametrize(
    "asked",
    [
        ["content-type", "authorization"],
        [
            "authorization",
            "content-type",
            "x-stainless-arch",
            "x-stainless-lang",
            "x-stainless-os",
            "x-stainless-package-version",
            "x-stainless-retry-count",
            "x-stainless-runtime",
            "x-stainless-runtime-version",
            "x-stainless-timeout",
        ],
        ["traceparent", "tracestate", "baggage"],
        ["anthropic-version", "x-api-key"],
        [f"x-{n}" for n in range(100)],
    ],
)
def test_a_preflight_is_granted_the_headers_that_it_asks_for(apps, asked):
    response = preflight(apps, APPS[1], Headers=",".join(asked))
    assert response.status == 204
    assert response.header("Access-Control-Allow-Origin") == APPS[1]
    assert "POST" in response.header("Access-Control-Allow-Methods")
    assert granted(response) == asked
    vary = ", ".join(value for name, value in response.headers if name.lower() == "vary")
    assert "Origin" in vary and "Access-Control-Request-Headers" in vary


@pytest.mark.parametrize("asked", [None, "", "a b", "x:y", "a,,b", 'a"b', "x" * 5000])
def test_a_preflight_that_asks_for_what_is_no_list_of_names_gets_ours(apps, asked):
    response = preflight(apps, APPS[0], **({} if asked is None else {"Headers": asked}))
    assert response.status == 204
    assert granted(response) == ["Authorization", "Content-Type", "X-Api-Key", "X-Request-Id"]


def test_a_page_of_the_internet_may_call_a_private_address_when_its_origin_may(apps):
    name = "Access-Control-Allow-Private-Network"
    assert preflight(apps, APPS[0], Private_Network="true").header(name) == "true"
    assert preflight(apps, APPS[0]).header(name) is None
    refused = preflight(apps, "https://evil.example", Private_Network="true", Headers="x-a")
    assert refused.status == 403 and refused.header(name) is None
    assert refused.header("Access-Control-Allow-Headers") is None


def test_a_preflight_needs_no_key(serve, key_file):
    service = serve("--allow-origin", "*", "--api-key-file", key_file)
    response = preflight(service, "https://any.example", Headers="authorization")
    assert response.status == 204 and granted(response) == ["authorization"]
    answer = service.generate(cors("https://any.example"), prompt="x")
    assert answer.status == 401  # and the page may read why
    assert answer.header("Access-Control-Allow-Origin") == "https://any.example"


@pytest.mark.parametrize("target", ["*", "/"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_options_for_the_whole_server_is_answered(service, target, version):
    response = service.request("OPTIONS", target, version=version)
    assert response.status == 204 and "OPTIONS" in response.header("Allow")
    bare = service.send_raw(b"OPTIONS / HTTP/1.0\r\n\r\n")  # a balancer's plainest check
    assert bare.status == 204
    assert service.request("OPTIONS", "/nothing").status == 404
    assert service.request("GET", "*").status in (400, 404)


def test_nobody_is_told_of_an_origin_that_was_not_allowed(service):
    response = service.get("/info")
    assert response.header("Access-Control-Allow-Origin") is None


def test_a_refused_host_is_told_which_option_allows_it(service):
    response = service.request("GET", "/info", headers={"Host": "llm_backend"})
    assert response.status == 403 and "--allow-host" in response.error()["message"]


@pytest.mark.parametrize(
    "flags, good, bad",
    [
        (
            ["--allow-host", "llm_backend", "--allow-host", "llm.example"],
            ["llm_backend", "LLM.example:443", "llm.example."],
            ["x.llm.example", "example"],
        ),
        (
            ["--allow-host", "*.example,other.test"],
            ["a.example", "a.b.example:1", "other.test"],
            ["example", "aexample"],
        ),
        (["--allow-host", "*"], ["anything", "evil.example:1", "10.0.0.1"], []),
    ],
)
def test_allowed_hosts_are_let_in(serve, flags, good, bad):
    service = serve(*flags)
    for host in [*good, "localhost", "127.0.0.1"]:
        assert status(service, {"Host": host}) == 200, host
        assert status(service, {"Host": host, "Origin": "http://evil.test"}) == 403, host
    for host in bad:
        assert status(service, {"Host": host}) == 403, host


def test_a_target_with_another_host_is_as_foreign_as_the_header(service):
    for target in ("http://evil.example/info", "http://evil.example", "http://a@evil.example/info"):
        assert service.get(target).status == 403
    assert service.get("http://LOCALHOST:80/info").status == 200
    response = service.request("GET", "http://localhost/info", headers={"Host": "evil.example"})
    assert response.status == 403


def test_not_bound_to_loopback_any_host_will_do(serve):
    service = serve(host="0.0.0.0")
    assert status(service, {"Host": "models.internal.example"}) == 200
    assert status(service, {"Host": "a.example", "Origin": "http://b.example"}) == 403
