"""The verbs on a command line: what they print, and how they end."""
import json
import os
import platform
import pty
import re
import shutil
import signal
import socket
import subprocess

import pytest

import models
from gguf_edit import with_strings
from service import BINARY, EXTRA, LIMIT, REPORT, ROOT, clean_environment, poll, run_verb
from terminal import read_to_exit, run_on_terminal
from test_generate import STORY

VERBS = ["serve", "generate", "inspect", "tokenize", "detokenize", "perplexity", "version", "help"]


def test_version_in_every_spelling():
    outputs = {run_verb(*args).stdout for args in (["version"], ["--version"])}
    assert len(outputs) == 1
    assert re.search(rb"\d+\.\d+\.\d+", outputs.pop())


def test_help_in_every_spelling_names_every_verb():
    outputs = {run_verb(*args).stdout.decode() for args in (["help"], ["--help"], ["-h"])}
    assert len(outputs) == 1
    text = outputs.pop()
    for verb in VERBS:
        assert re.search(rf"\b{verb}\b", text), verb


@pytest.mark.parametrize("verb", VERBS[:6])
def test_each_verb_has_its_own_help(verb):
    done = run_verb(verb, "--help")
    assert done.returncode == 0 and verb in done.stdout.decode() and not done.stderr
    assert "--" in done.stdout.decode()


@pytest.mark.parametrize("args, named", [
    (["serve", "--max-que", "5"], "--max-queue"), (["serve", "--thread", "2"], "--threads"),
    (["serve", "--modle", "x"], "--model"), (["generate", "--max-token", "5", "x"], "--max-tokens"),
    (["generate", "--temprature", "1", "x"], "--temperature"), (["generat", "x"], "generate"),
    (["server"], "serve"), (["perplexty", "x"], "perplexity")])
def test_a_wrong_name_is_exit_2_and_names_the_nearest(args, named):
    done = run_verb(*args)
    assert done.returncode == 2 and done.stdout == b""
    assert named in done.stderr.decode()


@pytest.mark.parametrize("args, word", [
    (["serve", "--threads", "x"], "threads"),
    (["serve", "--threads", "-1"], "threads"), (["serve", "--port", "65536"], "port"),
    (["serve", "--kv-type", "f64"], "f16"), (["serve", "--cpu", "sse2"], "avx2"),
    (["serve", "--prefix-cache", "maybe"], "on"), (["serve", "--kv-memory", "5X"], "kv-memory"),
    (["serve", "--threads"], "threads"), (["serve", "--threads", "2", "--threads"], "threads"),
    (["serve", "--log-format", "xml"], "json"), (["serve", "stray"], "stray"),
    (["generate", "--temperature", "6", "x"], "temperature"),
    (["generate", "--top-p", "nan", "x"], "top-p"), (["inspect"], "FILE"),
    (["perplexity"], "FILE"), (["tokenize", "--port", "5"], "port")])
def test_a_wrong_value_is_exit_2_and_says_what_would_be_right(args, word):
    done = run_verb(*args)
    assert done.returncode == 2, done
    assert done.stdout == b"" and word in done.stderr.decode()


@pytest.mark.parametrize("args, word", [
    (["generate", "--max-tokens", "0", "x"], "or auto"), (["serve", "--threads", "0"], "or auto"),
    (["serve", "--workers", "0"], "or auto"), (["serve", "--kv-memory", "0"], "or auto"),
    (["serve", "--context", "0"], "or auto"), (["serve", "--max-wait-seconds", "0"], "or off"),
    (["serve", "--max-output-tokens", "0"], "or off"),
    (["quantize", "a", "b", "Q4_0", "--threads", "0"], "or auto")])
def test_zero_is_never_another_word_for_automatic(args, word):
    done = run_verb(*args)
    assert done.returncode == 2 and done.stdout == b"" and word in done.stderr.decode()


@pytest.mark.parametrize("args", [
    ["help", "serve", "extra"], ["help", "nonsense"], ["version", "extra"],
    ["version", "--port", "5"],
    ["--version", "extra"], ["--version=1"], ["--help=maybe"], ["serve", "--help", "extra"],
    ["help", "--json"],
    ["inspect", "a", "b"], ["inspect", ""], ["perplexity", ""], ["quantize", "a", "", "Q4_0"],
    ["quantize", "a", "b", "Q4_0", "c"], ["tokenize", "extra"], ["generate", "one", "two"],
    ["generate", "--prefix-cache", "off", "x"],
    ["bench", "a"], ["bench", "--compare", "a"], ["bench", "--compare", "a", "b", "--quick"],
    ["bench", "--compare", "a", "b", "--threads", "2"], ["bench", "--cells", "nope"],
    ["bench", "--cells", ","], ["bench", "--cells", "softmax,nope"], ["bench", "--cells", ""],
    ["profile", "--compare", "a", "b", "--sessions", "2"], ["profile", "a", "b"],
    ["serve", "--api-key-file", ""], ["serve", "--unix="], ["serve", "--config", ""],
    ["generate", "--stop", "", "x"], ["generate", "--logit-bias", "", "x"], [""], ["-- "]])
def test_what_would_have_no_effect_is_exit_2_in_one_line(args):
    done = run_verb(*args)
    assert done.returncode == 2, done
    assert done.stdout == b"" and done.stderr.count(b"\n") == 1, done


@pytest.mark.parametrize("args, named", [
    (["serve", "--ctx-size", "5"], "--context"),
    (["generate", "--n-predict", "5", "x"], "--max-tokens"),
    (["generate", "--temp", "1", "x"], "--temperature"),
    (["serve", "--zzzzzz", "1"], None), (["qqqq"], None)])
def test_a_hint_is_right_or_absent(args, named):
    text = run_verb(*args).stderr.decode()
    assert ("nearest: " + named in text) if named else ("nearest" not in text)


@pytest.mark.parametrize("verb", ["", *VERBS[:6], "quantize", "bench", "profile"])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_fits_the_terminal(verb, columns):
    args = [verb, "--help"] if verb else ["help"]
    seen = run_on_terminal(*args, columns=columns)
    assert seen.returncode == 0
    assert max(map(len, seen.lines)) <= columns
    assert max(map(len, seen.lines)) > columns * 0.75, "the width that is there is used"


def test_the_help_of_quantize_lists_the_types():
    text = run_verb("quantize", "--help").stdout.decode()
    refusal = run_verb("quantize", "a", "b", "nope").stderr.decode()
    types = refusal.split(": ")[-1].split()
    assert len(types) > 15 and set(types) <= set(text.replace(".", " ").split()), types


@pytest.mark.parametrize("args, word", [
    (["--threads", "1", "--workers", "2"], "workers"), (["--context", "100000"], "512"),
    (["--cpu", "neon"], "neon"), (["--kv-memory", "1024"], "kv")])
def test_what_this_machine_or_model_cannot_do_is_an_error_before_serving(args, word):
    done = run_verb("serve", "--port", "0", *args)
    assert done.returncode in (1, 2)
    assert word in done.stderr.decode().lower()


def test_a_wrong_model_file_is_exit_1_and_named(tmp_path):
    text = tmp_path / "not-a-model.gguf"
    text.write_text("no GGUF at all, but long enough to be read" * 100)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(models.fixture("llama256.Q4_0.gguf").read_bytes()[:300000])
    for path in (text, cut, tmp_path / "missing.gguf", tmp_path):
        for args in (["serve", "--port", "0", "--model", path], ["inspect", path],
                     ["generate", "--model", path, "x"]):
            done = run_verb(*args)
            assert done.returncode == 1, (args, done)
            assert str(path).encode() in done.stderr


def test_a_port_in_use_is_exit_1_and_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_verb("serve", "--port", port)
    assert done.returncode == 1 and str(port).encode() in done.stderr


# --- generate ---

def generate(*args, stdin=b""):
    done = run_verb("generate", *EXTRA, *args, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


FIELDS = dict(max_tokens=40, seed=7, temperature=0.9, top_k=50, top_p=0.9, min_p=0.02,
              typical_p=0.95, repetition_penalty=1.1, repetition_window=32,
              presence_penalty=0.1, frequency_penalty=0.1)


def as_flags(fields):
    return [word for name, value in fields.items()
            for word in ("--" + name.replace("_", "-"), str(value))]


def test_generate_writes_what_the_service_answers_for_the_same_seed(service):
    expected = service.answer(prompt=STORY, **FIELDS)["text"]
    assert generate(*as_flags(FIELDS), STORY).rstrip("\n") == expected.rstrip("\n")


def test_the_prompt_comes_from_standard_input_when_absent():
    flags = as_flags(FIELDS)
    assert generate(*flags, stdin=STORY.encode()) == generate(*flags, STORY)


def test_other_fields_are_flags_too(service):
    fields = dict(prompt=STORY, max_tokens=40, temperature=0, ignore_eos=True)
    text = service.answer(**fields)["text"]
    stop = text[20:26]
    got = generate("--max-tokens", 40, "--temperature", 0, "--ignore-eos", "--stop", stop, STORY)
    assert got.rstrip("\n") == text[:text.find(stop)].rstrip("\n")


def test_threads_do_not_change_a_byte():
    texts = {generate(*as_flags(FIELDS), "--threads", n, STORY) for n in (1, 2)}
    assert len(texts) == 1


def test_without_a_terminal_nothing_but_the_text_is_written():
    done = run_verb("generate", *EXTRA, "--max-tokens", 5, STORY)
    assert done.stderr == b"" and done.returncode == 0


def start_generate(**kwargs):
    return subprocess.Popen(
        [str(BINARY), "generate", *EXTRA, "--model", str(models.slow()), "--max-tokens", "1900",
         "--ignore-eos", STORY], env=clean_environment(), **kwargs)


def test_ctrl_c_ends_generate_cleanly():
    # Unbuffered: communicate() would pass over what a buffer had read ahead.
    process = start_generate(stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=LIMIT)
    assert process.returncode in (0, 130) and first
    assert not REPORT.search(errors), errors
    assert b"rror" not in errors
    (first + rest).decode("utf-8")  # no half character


def test_a_reader_that_closes_ends_generate():
    process = start_generate(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(LIMIT) in (0, 1, 141, -13)
    process.stderr.close()
    assert not REPORT.search(errors), errors


def test_a_progress_line_only_on_a_terminal():
    """A long prompt is read: a terminal on standard error is told, a pipe is not. The reference
    arithmetic on one thread makes any prompt long: seconds on the fastest machine."""
    prompt = "the " * 120
    args = [str(BINARY), "generate", "--model", str(models.slow()), "--max-tokens", "2",
            "--cpu", "ref", "--threads", "1"]
    main, terminal = pty.openpty()
    process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=terminal, env=dict(clean_environment(), TERM="xterm"))
    process.stdin.write(prompt.encode())
    process.stdin.close()
    shown = read_to_exit(process, main, terminal)
    assert process.returncode == 0
    assert b"\r" in shown and re.search(rb"\d", shown), shown
    quiet = subprocess.run(args, input=prompt.encode(), capture_output=True,
                           env=clean_environment(), timeout=2 * LIMIT)
    assert quiet.returncode == 0 and quiet.stderr == b""


def test_a_prompt_beyond_the_context_is_an_error():
    done = run_verb("generate", *EXTRA, "word " * 2000)
    assert done.returncode in (1, 2) and b"512" in done.stderr and done.stdout == b""


BUILTIN = ROOT / "models" / "smallmind-tiny.gguf"
AT_ONCE = ["--logit-bias", "0:100", "--max-tokens", "5", "x"]


def test_a_model_that_ends_at_once_says_why_on_a_terminal(tmp_path):
    chat = with_strings(BUILTIN, tmp_path / "chat.gguf", tokenizer__chat_template="{{ messages }}")
    seen = run_on_terminal("generate", "--model", chat, *AT_ONCE)
    assert seen.returncode == 0 and len(seen.lines) == 1
    assert "ended at once" in seen.lines[0] and "chat template" in seen.lines[0]
    assert "--ignore-eos" in seen.lines[0]
    seen = run_on_terminal("generate", *AT_ONCE)
    assert "ended at once" in seen.lines[0] and "chat template" not in seen.raw
    seen = run_on_terminal("generate", "--model", chat, *AT_ONCE, stdout_too=False)
    assert seen.stdout == b"" and "ended at once" in seen.raw
    quiet = run_verb("generate", "--model", chat, *AT_ONCE)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, b"", b"")


@pytest.mark.parametrize("verb, typed, word", [
    ("generate", b"Once upon\n\x04", "the prompt"), ("tokenize", b"Once upon\n\x04", "the text"),
    ("detokenize", b"31 42\n\x04", "the token ids")])
def test_a_verb_that_waits_for_a_person_says_so(verb, typed, word):
    flags = ["--max-tokens", 3, *EXTRA] if verb == "generate" else []
    seen = run_on_terminal(verb, *flags, typed=typed)
    assert seen.returncode == 0 and f"Type {word}; Ctrl-D" in seen.raw
    assert run_verb(verb, *flags, stdin=b"31 42").stderr == b""


def test_other_reasons_for_nothing_are_told_apart():
    first = generate("--temperature", 0, "--max-tokens", 1, STORY)
    seen = run_on_terminal("generate", *EXTRA, "--temperature", 0, "--stop", first.strip(), STORY)
    assert "stop text" in seen.raw and "ended at once" not in seen.raw
    seen = run_on_terminal("generate", *EXTRA, "--temperature", 0, "--max-tokens", 5, STORY)
    assert "smallmind:" not in seen.raw


@pytest.mark.parametrize("args, word", [
    (["--min-tokens", "300", "x"], "--min-tokens"), (["--max-tokens", "9999", "x"], "--max-tokens"),
    (["--logit-bias", "999999:1", "x"], "--logit-bias")])
def test_an_option_that_the_model_cannot_honour_is_exit_2_and_named(args, word):
    done = run_verb("generate", *args)
    assert done.returncode == 2 and done.stdout == b"" and word in done.stderr.decode()


@pytest.mark.parametrize("verb", ["generate", "perplexity", "bench", "profile"])
def test_kernels_of_another_processor_are_refused_with_those_that_can_be_had(verb):
    done = run_verb(verb, *(["x"] if verb in ("generate", "perplexity") else []), "--cpu",
                    "neon" if platform.machine() == "x86_64" else "avx2")
    text = done.stderr.decode()
    assert done.returncode == 2 and "can use: ref" in text and "built" not in text
    for level in text.split("can use: ")[1].split(" (")[0].split(", "):
        assert run_verb("generate", "--cpu", level, "--max-tokens", 1, "x").returncode == 0


@pytest.mark.parametrize("args", [
    ["help"], ["version"], ["serve", "--print-config"], ["inspect", "builtin"],
    ["inspect", "--json", "builtin"], ["generate", "--max-tokens", "3", "x"], ["tokenize"]])
def test_a_full_disk_is_exit_1_and_named(args):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(BINARY), *args], stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, env=clean_environment(), timeout=LIMIT)
    assert done.returncode == 1
    assert done.stderr == b"smallmind: standard output: No space left on device\n"


# --- serve ---

def test_serve_is_the_default_verb():
    process = subprocess.Popen([str(BINARY), "--port", "0"], env=clean_environment(),
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    line = b""
    while b"127.0.0.1" not in line:
        line = process.stderr.readline()
        assert line, "ended without saying where it listens"
    process.terminate()
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0


def test_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve(unix=path)
    assert service.answer(prompt=STORY, max_tokens=2)["tokens"]
    assert service.get("/info", {"Host": "anything.example"}).status in (200, 403)
    service.signal()
    assert service.wait() == 0
    assert not os.path.exists(path), "the socket's file is left behind"


def test_a_stale_unix_socket_is_taken_over(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve(unix=path)
    service.kill()
    assert os.path.exists(path)
    assert serve(unix=path).get("/livez").status == 200


def test_a_unix_socket_in_use_is_refused(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve(unix=path)
    done = run_verb("serve", "--unix", path)
    assert done.returncode == 1 and path.encode() in done.stderr
    assert service.get("/livez").status == 200


def start_lines(service):
    """The texts of the log's lines up to the one that says ready."""
    poll("the last line of the start", lambda: service.log_lines("ready after"))
    lines = [line.split("  ", 1)[1] for line in service.log().splitlines()
             if "  request " not in line]
    return lines[:1 + next(i for i, line in enumerate(lines) if "ready after" in line)]


def test_the_start_lines_say_each_thing_once(serve):
    lines = start_lines(serve("--threads", 2, "--workers", 1))
    text = "\n".join(lines)
    for fact in ("threads: 2", "workers: 1", "kernels: ", "KV memory", "model: ", "listening on",
                 "this process may use ", "ready after"):
        assert text.count(fact) == 1, (fact, text)
    assert not re.search(r"\b2 threads|\b1 workers", text)
    assert len(lines) <= 6  # listening, model, machine, threads, memory, ready


@pytest.mark.parametrize("kind", ["address", "everywhere", "unix", "key"])
def test_the_command_that_the_start_offers_works(serve, tmp_path, kind):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    keys = tmp_path / "keys"
    keys.write_text("sesame-open-now\n")
    keys.chmod(0o600)
    if kind == "unix":
        service = serve(unix=str(tmp_path / "socket"))
    elif kind == "key":
        service = serve("--api-key-file", keys)
    else:
        service = serve(host="127.0.0.1" if kind == "address" else "0.0.0.0")
    command = start_lines(service)[-1].split("try: ")[1].replace("KEY", "sesame-open-now")
    assert command.startswith("curl -N ")
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=LIMIT)
    assert done.returncode == 0 and len(done.stdout) > 20 and b"error" not in done.stdout, done


def test_logs_as_json(serve):
    service = serve("--log-format", "json")
    service.generate({"X-Request-Id": "json-log"}, prompt=STORY, max_tokens=3)
    line = poll("the line", lambda: service.log_lines("json-log"))[0]
    entry = json.loads(line)
    text = json.dumps(entry)
    assert entry and "200" in text and STORY not in text
    for every in service.log().splitlines():
        json.loads(every)


def test_log_level_warn_leaves_requests_out(serve):
    service = serve("--log-level", "warn")
    service.generate({"X-Request-Id": "quiet-log"}, prompt=STORY, max_tokens=3)
    service.get("/livez")
    assert service.log_lines("quiet-log") == []


def test_the_seed_option_makes_drawn_seeds_repeat(serve):
    drawn = []
    for _ in range(2):
        service = serve("--seed", 42)
        drawn.append([service.answer(prompt=STORY, max_tokens=1)["seed"] for _ in range(3)])
        service.stop()
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3
