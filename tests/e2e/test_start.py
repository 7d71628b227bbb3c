"""A start that cannot succeed: one sentence, exit 1 or 2, nothing taken, nothing left behind."""
import os
import resource
import signal
import socket
import subprocess

import pytest

from service import (BINARY, LIMIT, ROOT, Service, clean_environment, poll, run_verb,
                     sanitizer)

FIXTURE = ROOT / "tests" / "fixtures" / "llama256.Q8_0.gguf"


def cut(path):
    path.write_bytes(FIXTURE.read_bytes()[:5000])


def other_architecture(path):
    path.write_bytes(FIXTURE.read_bytes().replace(b"llama", b"xlama"))


BAD_FILES = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "no gguf": lambda path: path.write_bytes(b"hello, world" * 100),
    "cut": cut,
    "other architecture": other_architecture,
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_model_is_found_before_listening(tmp_path, kind):
    path = tmp_path / "model.gguf"
    BAD_FILES[kind](path)
    done = run_verb("serve", "--port", 0, "--model", path, "--port-file", tmp_path / "port")
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1 and " error " in lines[-1] and str(path) in lines[-1], done
    assert not any("listening" in line for line in lines)
    assert not (tmp_path / "port").exists()


@pytest.mark.parametrize("flags", [("--context", 16777216), ("--cpu", "neon")])
def test_an_option_that_cannot_be_honoured_is_found_before_listening(flags):
    if flags[1] == "neon" and os.uname().machine == "aarch64":
        pytest.skip("this machine has it")
    done = run_verb("serve", "--port", 0, *flags)
    assert done.returncode == 2 and b"listening" not in done.stderr
    assert flags[0].encode() in done.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_said_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_verb("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 1 and b"listening on" not in done.stderr


# --- the system's limits ---

def start_under(limits, tmp_path, env=None, uid=None):
    """Starts with these limits: serves and drains (0), or says why not (1); never anything else.
    Returns the exit status and what it said."""
    port_file = tmp_path / "port"

    def limit():
        for name, value in limits.items():
            resource.setrlimit(name, (value, value))
        if uid is not None:
            os.setgroups([])
            os.setuid(uid)
    args = [str(BINARY), "serve", "--port", "0", "--port-file", str(port_file)]
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=clean_environment(env), preexec_fn=limit)
    try:
        poll("an end or a port", lambda: process.poll() is not None or port_file.exists())
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=LIMIT)[1].decode("utf-8", "replace")
    finally:
        process.kill()
        process.wait()
    if process.returncode == 127:  # the system's loader has said so
        return 1, said
    assert process.returncode in (0, 1), f"{limits}: {process.returncode}\n{said}"
    if process.returncode == 1:
        last = said.splitlines()[-1]  # of the log, or of what comes before there is one
        assert " error " in last or last.startswith("smallmind: "), said
    assert not port_file.exists()
    return process.returncode, said


needs_real_limits = pytest.mark.skipif(sanitizer() is not None,
                                       reason="a sanitizer needs address space of its own")


@needs_real_limits
@pytest.mark.parametrize("megabytes", [16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 96, 128])
def test_little_address_space(tmp_path, megabytes):
    start_under({resource.RLIMIT_AS: megabytes * 1000 * 1000}, tmp_path)


@needs_real_limits
@pytest.mark.parametrize("megabytes", [190, 230, 300, 320])
def test_more_address_space_is_never_too_little(megabytes):
    """What starts with 160 MB starts with any more: threads' arenas take none of it."""
    flags = ["--threads", 2, "--kv-memory", "1M"]

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1000 * 1000,) * 2)
    service = Service(*flags, preexec_fn=limit)
    try:
        assert service.generate(prompt="x", max_tokens=2).status == 200
        service.stop()
    finally:
        service.kill()


@needs_real_limits
@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 32])
def test_few_descriptors(tmp_path, n):
    status, said = start_under({resource.RLIMIT_NOFILE: n}, tmp_path)
    assert status == 0 if n >= 32 else True, said
    assert "ulimit -n" in said if n <= 8 else True


@needs_real_limits
# Less than 64 holds no environment of a common size, and the system ends the process by itself.
@pytest.mark.parametrize("kilobytes", [64, 128, 256, 1023, 1024, 2048, 65536])
def test_small_and_large_stacks(tmp_path, kilobytes):
    status, said = start_under({resource.RLIMIT_STACK: kilobytes * 1024}, tmp_path)
    assert status == (0 if kilobytes >= 1024 else 1), said
    assert "ulimit -s" in said or status == 0


@needs_real_limits
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without processes")
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8])
def test_few_processes(tmp_path, n):
    uid = 54321  # whose only processes these are
    if subprocess.run(["test", "-x", str(BINARY)], user=uid, check=False).returncode != 0:
        pytest.skip("another user cannot reach the program")
    status, said = start_under({resource.RLIMIT_NPROC: n}, tmp_path, uid=uid)
    assert "ulimit -u" in said or n > 5, said


@needs_real_limits
def test_a_pool_that_is_too_large(tmp_path):
    status, said = start_under({resource.RLIMIT_AS: 300 * 1000 * 1000}, tmp_path,
                               env={"UV_THREADPOOL_SIZE": "1000"})
    assert status == 1 and "threads" in said


def test_packed_weights_are_kept_and_started_from(serve, tmp_path):
    """The first start makes them, the second reads them, and a damaged file is made anew; the texts
    are the same."""
    folder, request = tmp_path / "packs", {"prompt": "Once", "max_tokens": 24, "temperature": 0}
    flags = ("--model", FIXTURE, "--pack-cache", folder)

    def start(says):
        service = serve(*flags)
        poll(says, lambda: service.log_lines(says))
        text = service.answer(**request)["text"]
        service.stop()
        return text

    first = start("packed weights are kept")
    [file] = folder.iterdir()
    assert start("packed weights come from") == first
    bytes_of_it = bytearray(file.read_bytes())
    bytes_of_it[len(bytes_of_it) // 2] ^= 1
    file.write_bytes(bytes_of_it)
    assert start("packed weights are made anew") == first
    assert start("packed weights come from") == first
    assert [one.name for one in folder.iterdir()] == [file.name]


def test_packed_weights_that_cannot_be_kept_are_said_and_no_hindrance(serve, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for flags, says in ((("--pack-cache", tmp_path / "file"), "not kept: "),
                        (("--pack-cache", tmp_path / "packs", "--pack-cache-bytes", "4K"),
                         "more than the allowed 4096")):
        service = serve("--model", FIXTURE, *flags)
        poll(says, lambda: service.log_lines(says))
        assert service.answer(prompt="Once", max_tokens=2)["tokens"]
