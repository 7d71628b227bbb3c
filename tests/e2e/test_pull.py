"""`pull REF` against a server that cuts, stalls, redirects, lies and changes its mind: the file is
whole and right, or there is a clear error and nothing is left but a part that goes on."""
import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest

import gguf_edit
import models
import pull_server
from pull_server import File
from pull_store import PATH, REF, model, other, server, store  # noqa: F401 (fixtures)
from service import BINARY, LIMIT, clean_environment, poll, run_verb


def manifest_of(path):
    return json.dumps({"ggufFile": {"rfilename": path}}).encode()


# --- the right way ---

def test_a_file_of_the_hub_by_its_name(server, store, model):
    server.put_hub(PATH, File(model))
    done = store.got(model)
    assert store.files() == ["hf/own/repo/sub/.model-Q4_0.gguf.json",
                             "hf/own/repo/sub/model-Q4_0.gguf"]
    assert b"got whole" in done.stderr and b"SHA-256" not in done.stderr
    again = store.pull()
    assert again.returncode == 0 and b"there already" in again.stderr
    assert again.stdout == done.stdout


def test_a_checksum_of_the_hub_is_checked(server, store, model):
    server.put_hub(PATH, File(model, linked=True))
    assert b"SHA-256" in store.got(model).stderr
    assert store.listed()[0]["sha256"] == hashlib.sha256(model).hexdigest()


@pytest.mark.parametrize("tag", ["Q4_0", "q4_0"])
def test_a_file_of_the_hub_by_its_type(server, store, model, tag):
    right, wrong = File(model), File(b"GGUF-wrong")
    server.put_tree({PATH: right, "mmproj-Q4_0.gguf": wrong, "model-Q4_0_4_4.gguf": wrong,
                     "model-IQ4_0.gguf": wrong, "Q4_0.txt": wrong})
    server.put_hub(PATH, right)
    store.got(model, f"hf:own/repo:{tag}")
    assert store.files()[-1] == f"hf/own/repo/{PATH}"
    n = len(server.asked)
    assert store.run("inspect", f"hf:own/repo:{tag}").returncode == 0
    assert len(server.asked) == n


def test_a_type_of_several_files_names_them(server, store, model):
    server.put_tree({"a-Q4_0.gguf": File(model), "b-Q4_0.gguf": File(model)})
    store.refused("hf:own/repo:Q4_0", "2 models", "a-Q4_0.gguf", "b-Q4_0.gguf")
    store.refused("hf:own/repo:Q8_0", "no such GGUF file", "a-Q4_0.gguf")


def test_a_hub_without_a_list_names_the_file_in_a_manifest(server, store, model):
    server.put("/v2/own/repo/manifests/Q4_0", manifest_of(PATH))
    server.put_hub(PATH, File(model))
    store.got(model, "hf:own/repo:Q4_0")


def test_a_list_of_several_pages(server, store, model):
    file = File(model)
    item = {"type": "file", "path": PATH, "size": len(model)}

    def first(handler):
        page = "2" if "cursor" in handler.path else "1"
        headers = {} if page == "2" else {
            "Link": f'<{server.url}/api/models/own/repo/tree/main?cursor=x>; rel="next"'}
        handler.say(200, json.dumps([item] if page == "2" else []).encode(), **headers)
    server.put("/api/models/own/repo/tree/main", first)
    server.put_hub(PATH, file)
    store.got(model, "hf:own/repo:Q4_0")


def test_a_model_of_ollama(server, store, model):
    server.put_ollama("library/tiny", "135m", File(model))
    done = store.got(model, "ollama:tiny:135m")
    assert b"tiny:135m" in done.stderr and b"SHA-256" in done.stderr
    assert store.listed()[0]["reference"] == "ollama:tiny:135m"
    server.put_ollama("me/tiny", "latest", File(model))
    store.got(model, "ollama:me/tiny")
    assert [m["name"] for m in store.listed()] == ["tiny:135m", "tiny:latest"]


def test_a_manifest_that_names_no_model_is_refused(server, store, model):
    good = {"mediaType": "application/vnd.ollama.image.model", "size": 5}
    for layers in ([], [good], [dict(good, digest="sha256:../../x")], [dict(good, digest=7)],
                   [dict(good, digest="sha256:" + "0" * 64, size=-1)]):
        server.put_ollama("library/tiny", "x", File(model), layers)
        store.refused("ollama:tiny:x", "manifest")


def test_a_url(server, store, model):
    server.put("/some/where/m%20x.gguf", File(model))
    store.got(model, f"{server.url}/some/where/m%20x.gguf?download=true")
    listed = store.listed()[0]
    assert listed["name"] == "m x"
    assert listed["reference"] == f"{server.url}/some/where/m%20x.gguf"


def test_a_split_model_is_pulled_and_loaded_whole(server, store, tmp_path):
    whole = models.fixture("llama256.Q4_0.gguf")
    parts = gguf_edit.split(whole, tmp_path, "big", 3)
    for part in parts:
        server.put_hub(part.name, File(part.read_bytes()))
        server.put("/d/" + part.name, File(part.read_bytes()))
    server.put_tree({part.name: File(part.read_bytes()) for part in parts})
    for ref in ("hf:own/repo/big-00002-of-00003.gguf", f"{server.url}/d/big-00001-of-00003.gguf"):
        done = store.pull(ref)
        assert done.returncode == 0 and done.stdout.endswith(b"big-00001-of-00003.gguf\n"), done
        text = store.run("generate", "--model", ref, "--temperature", 0, "--max-tokens", 8, "Once")
        assert text.stdout == run_verb("generate", "--model", whole, "--temperature", 0,
                                       "--max-tokens", 8, "Once").stdout
        listed = [m for m in store.listed() if m["name"] == "big"]
        assert listed[0]["files"] == 3 and listed[0]["whole"]
        assert store.run("rm", "big").returncode == 0 and store.files() == []
    assert store.pull("hf:own/repo").returncode == 0  # the only model there


def test_a_split_model_with_a_part_missing_says_which(server, store, tmp_path):
    parts = gguf_edit.split(models.fixture("llama256.Q4_0.gguf"), tmp_path, "big", 3)
    for part in parts[:2]:
        server.put_hub(part.name, File(part.read_bytes()))
    text = store.refused("hf:own/repo/big-00001-of-00003.gguf", "404", "big-00003-of-00003",
                         left=True)
    assert "got whole" not in text
    done = store.run("generate", "--model", "big", "Hi")
    assert done.returncode == 1 and b"1 of 3 files" in done.stderr
    server.put_hub(parts[2].name, File(parts[2].read_bytes()))
    assert store.pull("hf:own/repo/big-00001-of-00003.gguf").returncode == 0


# --- cut, stalled, resumed ---

def test_what_is_cut_goes_on_within_one_pull(server, store, model):
    file = server.put_hub(PATH, File(model, faults=[pull_server.cut_after(len(model) // 5)]))
    file.faults += [pull_server.cut_after(len(model) // 5)] * 3 + [None]
    done = store.got(model)
    assert b"trying again" in done.stderr
    ranges = [h.get("Range") for p, h in server.asked if "/resolve/" in p]
    assert ranges[0] is None and all(r.startswith("bytes=") for r in ranges[1:])


def test_what_stalls_is_tried_again(server, store, model):
    server.put_hub(PATH, File(model, faults=[pull_server.stall_after(70000), None]))
    store.got(model)


@pytest.mark.parametrize("kind", ["etag", "linked", "date", "none", "no ranges"])
def test_a_part_goes_on_if_the_server_can_say_that_it_is_the_same(server, store, model, kind):
    file = File(model, etag='"v1"' if kind in ("etag", "no ranges") else None,
                linked=kind == "linked", ranges=kind != "no ranges",
                last_modified="Tue, 01 Jul 2025 10:00:00 GMT" if kind == "date" else None,
                faults=[pull_server.cut_after(100000)])
    server.put_hub(PATH, file)
    store.refused(REF, "kept", "goes on from there", left=True, SMALLMIND_PULL_TRIES="1")
    file.faults = []
    n = len(server.asked)
    store.got(model)
    asked = [h for p, h in server.asked[n:] if "/resolve/" in p]
    assert (asked[0].get("Range") == "bytes=100000-") == (kind != "none")


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("ranges", ["honest", "ignores If-Range", "none"])
def test_a_file_that_changed_meanwhile_begins_anew(server, store, model, linked, ranges):
    old = bytearray(model)
    old[50000:50100] = bytes(100)
    server.put_hub(PATH, File(bytes(old), linked=linked, faults=[pull_server.cut_after(90000)]))
    store.refused(REF, left=True, SMALLMIND_PULL_TRIES="1")
    new = File(model, etag='"v2"', linked=linked, ranges=ranges != "none")
    if ranges == "ignores If-Range":
        def careless(handler, file):
            del handler.headers["If-Range"]
            handler.serve(file)
        new.faults = [careless]
    server.put_hub(PATH, new)
    store.got(model)


def test_a_part_that_is_wrong_is_not_believed(server, store, model):
    file = server.put_hub(PATH, File(model, linked=True, faults=[pull_server.cut_after(90000)]))
    store.refused(REF, left=True, SMALLMIND_PULL_TRIES="1")
    part = next(store.folder.rglob("*.part"))
    part.write_bytes(b"GGUF" + bytes(89996))
    file.faults = []
    store.got(model)


def test_a_changed_file_replaces_the_old_one(server, store, model):
    server.put_hub(PATH, File(model, linked=True))
    store.got(model)
    newer = models.fixture("llama256.Q8_0.gguf").read_bytes()
    server.put_hub(PATH, File(newer, etag='"v2"', linked=True))
    store.got(newer)


def test_a_failed_update_keeps_the_old_one(server, store, model):
    server.put_hub(PATH, File(model, linked=True))
    store.got(model)
    server.put_hub(PATH, File(b"<html>", etag='"v2"'))
    assert store.pull().returncode == 1
    assert store.run("inspect", REF).returncode == 0
    assert [f for f in store.files() if "part" in f] == []


# --- Ctrl-C, kills, two at once ---

def start(store, ref=REF):
    return subprocess.Popen([str(BINARY), "pull", ref], env=clean_environment(
        {**store.env, "SMALLMIND_PULL_STALL_SECONDS": "60"}), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 130),
                                          (signal.SIGKILL, -9)])
def test_stopped_in_the_middle_it_goes_on(server, store, model, number, code):
    started = threading.Event()
    server.put_hub(PATH, File(model, faults=[pull_server.stall_after(150000, started), None]))
    process = start(store)
    assert started.wait(LIMIT)
    poll("its bytes", lambda: any(p.stat().st_size >= 150000
                                  for p in store.folder.rglob("*.part")))
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == code and out == b""
    assert b"goes on from there" in err or code == -9
    store.got(model)
    assert server.asked[-1][1]["Range"] == "bytes=150000-"


def test_two_at_once_get_it_once(server, store, model):
    started = threading.Event()
    go_on = threading.Event()

    def slow(handler, file):
        handler.head(file, 0)
        handler.wfile.write(file.data[:1000])
        handler.wfile.flush()
        started.set()
        assert go_on.wait(LIMIT)
        handler.wfile.write(file.data[1000:])
    server.put_hub(PATH, File(model, faults=[slow, None]))
    first = start(store)
    assert started.wait(LIMIT)
    second = start(store)
    line = second.stderr.readline()
    assert b"another process is getting it" in line
    done = store.run("rm", "model-Q4_0")
    assert done.returncode == 1 and b"is downloading it" in done.stderr
    go_on.set()
    for process in (first, second):
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0 and out.endswith(b"model-Q4_0.gguf\n"), err
    assert len(server.paths()) == 2  # the second one only saw that it is the same
    assert store.files()[-1].endswith("model-Q4_0.gguf") and len(store.files()) == 2


# --- refusals ---

@pytest.mark.parametrize("status, words", [
    (401, ["401", "token in HF_TOKEN"]), (403, ["403"]), (404, ["404", "no such file"]),
    (410, ["410"]), (400, ["400"]), (204, ["204"]), (500, ["500", "failed", "2 times"]),
    (503, ["503", "2 times"]), (429, ["429", "too many"])])
def test_an_answer_that_is_no_file_is_said(server, store, status, words):
    server.put_hub(PATH, File(b"x", faults=[pull_server.answer(status)]))
    store.refused(REF, *words)


def test_a_hub_that_wants_patience_gets_it(server, store, model):
    server.put_hub(PATH, File(model, faults=[pull_server.answer(429, Retry_After="1"),
                                             pull_server.answer(503), None]))
    done = store.got(model, SMALLMIND_PULL_TRIES="3")
    assert b"again in 1.0 s" in done.stderr
    server.put_hub("x.gguf", File(model, faults=[pull_server.answer(429, Retry_After="3600")]))
    assert b"3600 s" in store.pull("hf:own/repo/x.gguf").stderr


def test_the_hubs_own_words_are_shown_without_tricks(server, store):
    server.put_hub(PATH, File(b"x", faults=[pull_server.answer(
        403, X_Error_Message="Access is restricted \x1b[2J")]))
    assert "\x1b" not in store.refused(REF, "Access is restricted")


def test_a_wrong_checksum_leaves_nothing(server, store, model):
    server.put_hub(PATH, File(model, linked=True, sha256="ab" * 32))
    store.refused(REF, "SHA-256", "ab" * 32)
    server.put_tree({PATH: File(model, sha256="cd" * 32)}, folder="/sub")
    server.put_hub(PATH, File(model))
    store.refused(REF, "SHA-256", "cd" * 32)
    file = File(model, sha256="ef" * 32)
    server.put_ollama("library/tiny", "x", file)
    store.refused("ollama:tiny:x", "SHA-256", "ef" * 32)


@pytest.mark.parametrize("data", [b"<!doctype html><p>Sign in", b"", b"GG", b"GGUF\3" + bytes(500)],
                         ids=["page", "empty", "short", "zeros"])
def test_what_is_no_model_leaves_nothing(server, store, data):
    server.put_hub(PATH, File(data))
    store.refused(REF)


def test_a_stated_length_that_is_too_short_is_noticed(server, store, model):
    server.put_hub(PATH, File(model, faults=[pull_server.stated_length(len(model) // 2)]))
    store.refused(REF, "not a valid GGUF file")


def test_a_stated_length_that_is_too_long_is_noticed(server, store, model):
    server.put_hub(PATH, File(model, ranges=False,
                              faults=[pull_server.stated_length(len(model) + 9)]))
    store.refused(REF, "2 times", left=True)
    assert store.run("rm", "model-Q4_0").returncode == 0 and store.files() == []


def test_lengths_that_contradict_each_other_are_refused(server, store, model):
    server.put_hub(PATH, File(model, linked=True,
                              faults=[pull_server.stated_length(len(model) // 2)]))
    store.refused(REF, "bytes of")
    server.put_hub(PATH, File(model, headers={"Content-Length": "7"}))
    store.refused(REF)


def test_an_answer_without_a_length_is_taken_only_if_the_hub_says_it(server, store, model):
    for fault in (pull_server.without_length, pull_server.in_chunks):
        server.put_hub(PATH, File(model, faults=[fault]))
        store.refused(REF, "how many bytes")
    server.put_hub(PATH, File(model, linked=True, faults=[pull_server.in_chunks]))
    store.got(model)


def test_more_bytes_than_were_named_are_refused(server, store, model):
    head = {"X_Linked_Etag": '"' + "0" * 64 + '"', "X_Linked_Size": "100000"}
    server.put_hub(PATH, File(model, faults=[pull_server.endless(**head)]))
    store.refused(REF, "more than the 100000 bytes", left=True)


@pytest.mark.parametrize("ref", ["hf:own/repo:Q4_0", "ollama:tiny:x"])
@pytest.mark.parametrize("fault", [pull_server.endless(b"["), pull_server.endless_headers])
def test_interfaces_that_do_not_end_are_refused(server, store, ref, fault):
    for path in ("/api/models/own/repo/tree/main", "/v2/library/tiny/manifests/x"):
        server.put(path, fault)
    store.refused(ref, "end")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 1000, b"[{}]", b'"x"', b"\xff", b"[null,7]",
                                  b'[{"path":"\\u0000Q4_0.gguf"}]', b'{"layers":{"a":1}}'])
def test_interfaces_that_make_no_sense_are_refused(server, store, body):
    for path in ("/api/models/own/repo/tree/main", "/v2/library/tiny/manifests/x"):
        server.put(path, body)
    store.refused("hf:own/repo:Q4_0")
    store.refused("ollama:tiny:x")


@pytest.mark.parametrize("path", ["../../../x-Q4_0.gguf", "/etc/x-Q4_0.gguf", "a/../b-Q4_0.gguf",
                                  ".x-Q4_0.gguf", "a//b-Q4_0.gguf", "a\\b-Q4_0.gguf",
                                  "x\n-Q4_0.gguf", "-Q4_0.gguf", "a/" * 300 + "Q4_0.gguf"],
                         ids=range(9))
def test_names_that_a_hub_must_not_give(server, store, path):
    server.put_tree({path: File(b"GGUF")})
    store.refused("hf:own/repo:Q4_0")
    server.put("/v2/own/other/manifests/Q4_0", manifest_of(path))
    store.refused("hf:own/other:Q4_0")


# --- where it may lead ---

def test_redirects_are_followed_and_the_head_of_the_first_counts(server, other, store, model):
    sha = hashlib.sha256(model).hexdigest()
    server.put_hub(PATH, File(model, faults=[pull_server.redirect(
        other.url + "/cdn/blob?sig=1", X_Linked_Etag=f'"{sha}"', X_Linked_Size=str(len(model)))]))
    other.put("/cdn/blob", File(model, faults=[pull_server.cut_after(90000), None]))
    assert b"SHA-256" in store.got(model).stderr
    server.put_hub(PATH, File(model, faults=[pull_server.redirect("../../../../rel", 307)]))
    server.put("/own/rel", File(model, etag='"v3"'))
    assert store.run("rm", "model-Q4_0").returncode == 0


def test_the_token_goes_to_the_hub_alone(server, other, store, model):
    server.put_hub(PATH, File(model, faults=[pull_server.redirect(other.url + "/cdn")]))
    other.put("/cdn", File(model, faults=[pull_server.redirect(
        f"http://localhost:{server.port}/back")]))
    server.put("/back", File(model))
    server.put_ollama("library/tiny", "x", File(model))
    store.got(model, HF_TOKEN="hf_secret")
    assert {h.get("Authorization") for p, h in server.asked if "/resolve/" in p or "/api/" in p} \
        == {"Bearer hf_secret"}
    hosts = {h["Host"]: h.get("Authorization") for p, h in server.asked if p == "/back"}
    assert list(hosts.values()) == [None] and other.asked[0][1].get("Authorization") is None
    store.got(model, "ollama:tiny:x", HF_TOKEN="hf_secret", HF_ENDPOINT=other.url)
    assert all("Authorization" not in h for p, h in server.asked if "/v2/" in p)
    for folder, _, files in os.walk(store.folder):
        assert not any(b"hf_secret" in open(os.path.join(folder, f), "rb").read() for f in files)


@pytest.mark.parametrize("token", ["a b", "a\nHost: x", "ä"])
def test_a_token_that_is_none_is_refused(store, token):
    store.refused(REF, "HF_TOKEN", HF_TOKEN=token)


@pytest.mark.parametrize("target", ["http://192.0.2.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd",
                                    "http://localhost.example.invalid/x", "http://user@127.0.0.1/",
                                    "gopher://127.0.0.1/", ""])
def test_redirects_that_must_not_be_followed(server, store, target):
    server.put_hub(PATH, File(b"GGUF", faults=[pull_server.redirect(target)]))
    store.refused(REF, "redirect")


def test_redirects_in_a_circle_end(server, store):
    server.put_hub(PATH, File(b"GGUF", faults=[pull_server.redirect(
        f"/own/repo/resolve/main/{PATH}")]))
    store.refused(REF, "redirects")
    assert len(server.paths()) < 20


@pytest.mark.parametrize("url", ["http://192.0.2.1/x.gguf", "http://127.0.0.1.example.com/x.gguf",
                                 "http://[::2]/x.gguf", "http://localhost.evil.com/x.gguf",
                                 "https://a@b/x.gguf", "https:///x.gguf", "https:x.gguf",
                                 "https://h/x", "https://h/", "https://h/%2e%2e.gguf",
                                 "https://h/a%2fb.gguf", "https://h/a%00.gguf", "https://h/.a.gguf",
                                 "http:/127.0.0.1/x.gguf", "https://h/x.gguf\n"])
def test_urls_that_are_not_asked(store, url):
    store.refused(url, code=2)


@pytest.mark.parametrize("ref", [
    "hf:", "hf:a", "hf:a/", "hf:a/b/", "hf:a/b/c", "hf:../b/c.gguf", "hf:a/../c.gguf",
    "hf:a/b/../c.gguf", "hf:a/b/.c.gguf", "hf:a/b/c\x01.gguf", "hf:a/b/c\n.gguf", "hf:a/b:",
    "hf:a/b:x/y", "hf:a/b:..", "hf:a/b@/c.gguf", "hf:a/b//c.gguf", "hf:a/b/" + "c" * 600 + ".gguf",
    "hf:a b/c/d.gguf", "hf:-a/b/c.gguf",
    "ollama:", "ollama:a/b/c:d", "ollama:a:", "ollama:..:x",
    "ollama:a:../x", "ollama:/a:b", "ollama:a/../b:c", "model", "/etc/passwd", "a/b",
    "..", "x" * 2000], ids=range(31))
def test_references_that_are_refused(server, store, ref):
    store.refused(ref, code=2)
    assert server.asked == []


@pytest.mark.parametrize("name, value", [("HF_ENDPOINT", "http://example.com"),
                                         ("OLLAMA_ENDPOINT", "http://192.0.2.1:80"),
                                         ("HF_ENDPOINT", "nonsense://x"), ("HF_ENDPOINT", "x")])
def test_endpoints_are_held_to_the_same_rule(store, name, value):
    store.refused(REF, name, **{name: value})


def test_a_server_that_is_not_there_is_said(server, store):
    server.close()
    store.refused(REF, "2 times", server.url)
