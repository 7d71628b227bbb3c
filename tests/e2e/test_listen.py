"""Where the service listens, and the files that say so."""
import os
import resource
import select
import socket
import stat
import subprocess

import pytest

import http1
import models
from exposition import Metrics
from service import BINARY, LIMIT, Service, clean_environment, poll, run_verb


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def ask(service, address, host=None):
    """/readyz there: an IP address, or the path of a Unix socket."""
    where = address if address.startswith("/") else (address, service.address[1])
    with http1.Connection(where, LIMIT) as connection:
        connection.send(http1.build_request("GET", "/readyz", host=host or "localhost"))
        return connection.read_response().status


# --- addresses ---

def test_localhost_is_ipv4_and_ipv6_on_one_port(serve):
    service = serve(host="localhost")
    for address in ["127.0.0.1"] + ["::1"] * has_ipv6():
        assert ask(service, address) == 200
    line = service.logged("listening on")[0]
    assert line.count(f":{service.address[1]}") == 1 + has_ipv6()


def test_every_host_that_is_named_is_listened_on(serve):
    service = serve("--host", "127.0.0.2", "--host", "127.0.0.3,127.0.0.1")
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        assert ask(service, address) == 200
    with pytest.raises(ConnectionRefusedError):
        ask(service, "127.0.0.4")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_an_ipv6_address_may_stand_in_brackets(host, tmp_path):
    port_file = tmp_path / "port"
    process = subprocess.Popen([BINARY, "serve", "--port", "0", "--host", host, "--port-file",
                                port_file], stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        poll("the port file", port_file.exists)
        socket.create_connection(("::1", int(port_file.read_text())), LIMIT).close()
    finally:
        process.terminate()
        assert process.wait(LIMIT) == 0


def test_hosts_come_from_the_environment_and_the_file_too(tmp_path):
    ini = tmp_path / "ini"
    ini.write_text("host = 127.0.0.2\nhost = 127.0.0.3, localhost\n")
    shown = run_verb("serve", "--config", ini, "--print-config").stdout.decode()
    assert "127.0.0.2,127.0.0.3,localhost" in shown
    shown = run_verb("serve", "--config", ini, "--print-config",
                     env={"SMALLMIND_HOST": "127.0.0.9,::1"}).stdout.decode()
    assert "127.0.0.9,::1" in shown and "127.0.0.2" not in shown


@pytest.mark.parametrize("hosts", [["127.0.0.1", "192.0.2.1"], ["[localhost]"], ["::1]"],
                                   ["no host"], ["127.0.0.1", "[127.0.0.1]:80"]])
def test_an_address_that_cannot_be_had_is_named(hosts):
    flags = [word for host in hosts for word in ("--host", host)]
    done = run_verb("serve", "--port", 0, *flags)
    assert done.returncode == 1 and hosts[-1].split()[-1].encode() in done.stderr


def test_clients_of_all_sockets_share_the_limit_of_connections(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve("--unix", path, "--host", "127.0.0.2", "--max-connections", 4)
    held = []
    for where in [path, "127.0.0.2", "127.0.0.1"] * 40:  # idle ones give way to the newest
        address = where if where == path else (where, service.address[1])
        held.append(http1.Connection(address, LIMIT))
    for where in (path, "127.0.0.2", "127.0.0.1"):
        assert ask(service, where) == 200
    for connection in held:
        connection.close()
    assert service.generate(prompt="x", max_tokens=2).status == 200


# --- the Unix socket ---

def test_a_unix_socket_beside_addresses(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve("--unix", path)
    assert ask(service, "127.0.0.1") == 200 and ask(service, path) == 200
    assert ask(service, "127.0.0.1", host="llm.example") == 403
    assert ask(service, path, host="llm.example") == 200  # no page gets there


@pytest.mark.parametrize("mode, bits", [(None, 0o600), ("0660", 0o660), ("666", 0o666)])
def test_who_may_connect_is_said_by_the_mode(serve, tmp_path, mode, bits):
    path = str(tmp_path / "socket")
    before = os.umask(0o027)
    try:
        serve(*(["--unix-mode", mode] if mode else []), unix=path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == bits


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(serve, tmp_path):
    path = str(tmp_path / "socket")
    first = serve(unix=path)
    done = run_verb("serve", "--unix", path)
    assert done.returncode == 1 and path.encode() in done.stderr
    assert first.get("/livez").status == 200
    first.kill()  # leaves its file behind
    assert os.path.exists(path)
    assert serve(unix=path).get("/livez").status == 200


def test_of_several_that_start_at_once_one_gets_the_socket(tmp_path):
    path = str(tmp_path / "socket")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        processes = [subprocess.Popen([BINARY, "serve", "--unix", path], env=clean_environment(),
                                      stderr=subprocess.DEVNULL) for _ in range(4)]
        try:
            poll("all but one have ended", lambda: sum(p.poll() is None for p in processes) == 1)
            assert sorted(p.poll() for p in processes if p.poll() is not None) == [1, 1, 1]
            poll("the one answers", lambda: answers(path))
        finally:
            for process in processes:
                process.terminate()
                process.wait(LIMIT)
        assert not os.path.exists(path)


def answers(path):
    try:
        with http1.Connection(path, LIMIT) as connection:
            connection.send(http1.build_request("GET", "/livez", host="localhost"))
            return connection.read_response().status == 200
    except (ConnectionError, FileNotFoundError):
        return False


# --- files of another process ---

def test_an_old_process_leaves_the_files_of_a_new_one(tmp_path):
    path, port_file = str(tmp_path / "socket"), tmp_path / "port"
    flags = ["--unix", path]
    old = Service(*flags, port_file=port_file)
    try:
        os.unlink(path)  # as a supervisor that replaces them does
        os.unlink(port_file)
        new = Service(*flags, port_file=port_file)
        try:
            port = port_file.read_text()
            old.stop()
            assert port_file.read_text() == port and ask(new, path) == 200
            new.stop()
            assert not port_file.exists() and not os.path.exists(path)
        finally:
            new.kill()
    finally:
        old.kill()


@pytest.mark.parametrize("replace", ["content", "rename", "symlink"])
def test_a_port_file_that_is_not_its_own_any_more_stays(serve, tmp_path, replace):
    port_file, other = tmp_path / "port", tmp_path / "other"
    service = serve(port_file=port_file)
    text = port_file.read_text()
    other.write_text(text if replace == "rename" else "1\n")
    if replace == "content":
        port_file.write_text("1\n")
    elif replace == "rename":
        other.rename(port_file)
    else:
        port_file.unlink()
        port_file.symlink_to(other)
    service.stop()
    assert port_file.exists()


def test_files_that_are_still_its_own_go_with_it(serve, tmp_path):
    service = serve("--unix", str(tmp_path / "socket"), port_file=tmp_path / "port")
    assert sorted(os.listdir(tmp_path)) == ["port", "socket"]
    service.stop()
    assert os.listdir(tmp_path) == []


# --- out of descriptors ---

def test_clients_wait_while_there_are_no_descriptors(serve):
    """Nothing spins and no client is lost: one that waits is served when another leaves."""
    service = serve("--max-connections", 64)
    limit = service.count_fds() + 4
    subprocess.run(["prlimit", f"--nofile={limit}", "--pid", str(service.pid)], check=True)
    held = []
    while service.count_fds() < limit:  # a descriptor of the start may go meanwhile
        held.append(service.connect())
        held[-1].send(service.build("GET", "/livez"))
        assert held[-1].read_response().status == 200
    waiting = [service.connect() for _ in range(3)]
    for connection in waiting:
        connection.send(service.build("GET", "/readyz"))

    def scrape():
        held[0].send(service.build("GET", "/metrics"))
        metrics = Metrics(held[0].read_response().body.decode())
        return metrics if metrics.value("process_open_fds") == limit else None

    metrics = poll("every descriptor to be taken", scrape)
    assert metrics.value("process_max_fds") == limit
    assert metrics.value("process_resident_memory_bytes") > 1 << 20
    assert select.select([c.sock for c in waiting[1:]], [], [], 0)[0] == []
    for connection in held:
        connection.close()
    for connection in waiting:
        assert connection.read_response().status == 200
        connection.close()


def few_files(n):
    """Popen's preexec_fn: no more than n descriptors, and none that the service may ask for."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


@pytest.mark.parametrize("n_files", [40, 64, 100, 256])
def test_the_connections_that_are_promised_fit(serve, n_files):
    service = serve(preexec_fn=few_files(n_files))
    limit = int(service.metrics().value("smallmind_connections", state="limit"))
    assert service.logged(f"({n_files}) allows {limit} connections at once, not 1024")
    held = [service.connect() for _ in range(limit)]
    for connection in held:  # all of them are there before the first is answered
        connection.send(service.build("POST", "/tokenize", {"text": "x"}))
    for connection in held:
        assert connection.read_response().status == 200
    held[0].send(service.build("GET", "/metrics"))  # one more connection would end an idle one
    metrics = Metrics(held[0].read_response().body.decode())
    assert limit < metrics.value("process_open_fds") <= n_files
    for connection in held:
        connection.send(service.build("GET", "/livez"))
        assert connection.read_response().status == 200
        connection.close()


@pytest.mark.parametrize("n_files", [16, 20, 28])
def test_too_few_descriptors_for_any_connection_are_told(n_files):
    done = subprocess.run([BINARY, "serve", "--port", "0"], stderr=subprocess.PIPE,
                          env=clean_environment(), preexec_fn=few_files(n_files), timeout=LIMIT)
    assert done.returncode == 1 and done.stderr.strip()
    assert b"open files" in done.stderr


def test_metrics_in_the_names_of_another_server(serve):
    service = serve("--metrics-names", "vllm", model=models.slow())
    names = {"vllm:num_requests_running", "vllm:num_requests_waiting",
             "vllm:kv_cache_usage_perc", "vllm:cache_config_info"}
    metrics, kv = service.metrics(), service.info()["kv"]
    assert names <= set(metrics.types)
    assert metrics.value("vllm:cache_config_info", block_size=str(kv["page_positions"]),
                         num_gpu_blocks=str(kv["pages"])) == 1
    with service.busy():
        metrics = service.metrics()
        assert metrics.value("vllm:num_requests_running") == 1
        used = metrics.value("smallmind_kv_usage_ratio")
        assert 0 < used <= 1 and used == metrics.value("vllm:kv_cache_usage_perc")
    total = metrics.value("smallmind_kv_pages_total")
    assert total == sum(metrics.value("smallmind_kv_pages", state=state)
                        for state in ("used", "cached", "free"))
