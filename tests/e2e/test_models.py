"""Pulled models: the disk they lie on, `list`, `rm`, --model NAME, and serve that pulls."""
import json
import subprocess
import threading

import models
import pull_server
from pull_server import File
from pull_store import PATH, REF, model, server, store  # noqa: F401 (fixtures)
from service import BINARY, LIMIT, clean_environment, run_verb
from terminal import run_on_terminal

# --- the disk ---

def test_a_file_larger_than_the_disk_is_not_begun(server, store, model):
    def huge(handler, file):
        handler.head(file, 0, n=1 << 60)
    server.put_hub(PATH, File(model, faults=[huge]))
    store.refused(REF, "MiB left")


def test_a_file_that_may_not_grow_keeps_what_came(server, store, model):
    server.put_hub(PATH, File(model))
    done = subprocess.run(["prlimit", "--fsize=65536", str(BINARY), "pull", REF],
                          env=clean_environment(store.env), capture_output=True, timeout=LIMIT)
    assert done.returncode == 1 and b"too large" in done.stderr and b"kept" in done.stderr
    store.got(model)
    assert server.asked[-1][1].get("Range", "").startswith("bytes=")


def test_links_in_the_folder_are_not_followed(server, store, model, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "model-Q4_0.gguf"
    victim.write_bytes(model)
    base = tmp_path / "smallmind" / "models" / "hf"
    base.mkdir(parents=True)
    (base / "own").symlink_to(outside)
    server.put_hub(PATH, File(model))
    assert store.pull().returncode == 1
    assert [p.name for p in outside.iterdir()] == ["model-Q4_0.gguf"]
    (base / "me" / "r").mkdir(parents=True)
    (base / "me" / "r" / "model-Q4_0.gguf").symlink_to(victim)
    assert store.listed() == []
    for name in ("model-Q4_0", "hf:me/r/model-Q4_0.gguf"):
        assert store.run("rm", name).returncode == 1
        assert store.run("generate", "--model", name, "Hi").returncode == 1
    assert victim.read_bytes() == model


# --- list, rm, --model, serve ---

def test_list_and_rm(server, store, model):
    assert store.run("list").stdout == b"" and store.listed() == []
    server.put_hub(PATH, File(model, linked=True))
    server.put_ollama("library/tiny", "x", File(model))
    store.got(model)
    store.got(model, "ollama:tiny:x")
    lines = store.run("list").stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "TYPE", "SINCE", "REFERENCE"]
    assert lines[1].split()[0] == "model-Q4_0" and lines[1].split()[-1] == REF
    assert "Q4_0" in lines[1].split() and "MiB" in lines[1]
    one = store.listed()[0]
    assert one["type"] == "Q4_0" and one["bytes"] == len(model) and one["whole"]
    for name in ("tiny:y", "tiny", "model", "hf:own/repo:Q8_0", "hf:own/other/model-Q4_0.gguf"):
        assert store.run("rm", name).returncode == 1
    for name in ("../x", "a/b", "..", "", ".", "a\nb", "hf:own/../x.gguf"):
        assert store.run("rm", name).returncode == 2
    assert len(store.listed()) == 2
    assert store.run("rm", "model-Q4_0.gguf").returncode == 0
    assert store.run("rm", "ollama:tiny:x").returncode == 0
    assert store.files() == []
    assert store.run("rm", "tiny:x").returncode == 1


def test_a_name_that_means_two_says_which(server, store, model):
    server.put_hub("m.gguf", File(model))
    server.put("/own/else/resolve/main/m.gguf", File(model))
    store.got(model, "hf:own/repo/m.gguf")
    store.got(model, "hf:own/else/m.gguf")
    for verb in (["rm", "m"], ["generate", "--model", "m", "Hi"]):
        done = store.run(*verb)
        assert done.returncode == 1
        assert b"hf:own/else/m.gguf, hf:own/repo/m.gguf" in done.stderr
    assert store.run("rm", "hf:own/else/m.gguf").returncode == 0
    assert store.run("inspect", "m").returncode == 0


def test_every_verb_takes_the_name(server, store, model):
    server.put_hub(PATH, File(model))
    assert store.run("generate", "--model", REF, "Hi").returncode == 1
    store.got(model)
    for name in ("model-Q4_0", "model-Q4_0.gguf", REF, "hf:own/repo:Q4_0", "hf:own/repo"):
        done = store.run("generate", "--model", name, "--max-tokens", 1, "Hi")
        assert done.returncode == 0, done.stderr
    assert store.run("inspect", "model-Q4_0").returncode == 0


def test_a_file_comes_before_a_name(server, store, model, tmp_path):
    server.put_hub(PATH, File(model))
    store.got(model)
    (tmp_path / "model-Q4_0").write_bytes(b"GGML")
    done = run_verb("inspect", "model-Q4_0", env=store.env, cwd=tmp_path)
    assert done.returncode == 1 and b"GGML" in done.stderr or b"not a GGUF" in done.stderr


def test_serve_pulls_first_and_needs_no_network_afterwards(server, store, model, serve):
    file = server.put_hub(PATH, File(model, linked=True, faults=[pull_server.cut_after(90000)]))
    file.faults.append(None)
    service = serve("--models-dir", store.folder / "elsewhere", model=REF, env=store.env)
    assert service.answer(prompt="Once", max_tokens=2)["model"] == "model-Q4_0"
    assert service.logged("pulling model-Q4_0.gguf") and service.logged("trying again")
    service.stop()
    n = len(server.asked)
    service = serve("--models-dir", store.folder / "elsewhere", model=REF, env=store.env)
    service.stop()
    assert len(server.asked) == n


def test_serve_says_in_the_log_why_it_cannot_pull(store):
    done = store.run("serve", "--model", "hf:own/none/x.gguf", "--log-format", "json", "--port", 0)
    assert done.returncode == 1
    assert "404" in json.loads(done.stderr.decode().splitlines()[-1])["message"]


def test_progress_on_a_terminal_and_in_a_pipe(server, store):
    big = models.smol135().read_bytes()

    def slow(handler, file):
        start = handler.start_of_range(file)
        handler.head(file, start)
        for at in range(start, len(file.data), 1 << 20):
            handler.wfile.write(file.data[at:at + (1 << 20)])
            threading.Event().wait(0.01)
    server.put_hub("big.gguf", File(big, faults=[slow]))
    seen = run_on_terminal("pull", "hf:own/repo/big.gguf", env=store.env)
    bars = [line for line in seen.drawn if line.startswith("pulling: ")]
    assert seen.returncode == 0 and any("MiB/s" in bar and "left" in bar for bar in bars), seen.raw
    assert max(map(len, bars)) < 80
    assert store.run("rm", "big").returncode == 0
    done = store.got(big, "hf:own/repo/big.gguf")
    assert done.stderr.startswith(b"pulling big.gguf: ") and b"\r" not in done.stderr
