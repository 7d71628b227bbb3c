"""The perplexity verb."""
import re

import pytest

import models
from service import EXTRA, run_verb
from terminal import run_on_terminal

LAST = re.compile(r"perplexity: (\d+\.\d{4}) \+- (\d+\.\d{4})\n?\Z")


def perplexity(*args):
    done = run_verb("perplexity", *args, *EXTRA)
    assert done.returncode == 0, done.stderr.decode()
    match = LAST.search(done.stdout.decode())
    assert match, done.stdout
    return float(match[1]), float(match[2]), done


def test_stories260k_has_the_known_perplexity():
    value, margin, _ = perplexity(models.fixture("tinystories-40k.txt"), "--context", 256,
                                  "--kv-type", "f32", "--model",
                                  models.fixture("stories260K.gguf"))
    assert abs(value - 4.0747) <= 0.005
    assert abs(margin - 0.0760) <= 0.002


def test_q8_keys_and_values_cost_less_than_a_fifth_of_a_percent():
    model, text = models.fixture("stories260K.gguf"), models.fixture("tinystories-40k.txt")
    f16, q8 = (perplexity(text, "--context", 256, "--kv-type", kind, "--model", model)[0]
               for kind in ("f16", "q8"))
    assert q8 != f16 and abs(q8 / f16 - 1) <= 0.002


def story(tmp_path, times):
    path = tmp_path / "story.txt"
    path.write_text("Once upon a time there was a cat. The cat sat on a mat.\n" * times)
    return path


def test_the_running_value_goes_to_stderr_and_the_last_line_to_stdout(tmp_path):
    _, _, done = perplexity(story(tmp_path, 100), "--context", 64)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr


def test_threads_and_step_size_do_not_change_a_digit(tmp_path):
    path = story(tmp_path, 60)
    lines = {perplexity(path, "--context", 128, *flags)[2].stdout
             for flags in (["--threads", 1], ["--threads", 2], ["--step-tokens", 16])}
    assert len(lines) == 1


def test_a_text_shorter_than_one_window_is_an_error(tmp_path):
    done = run_verb("perplexity", story(tmp_path, 1), "--context", 256)
    assert done.returncode == 1 and b"256" in done.stderr and done.stdout == b""


def test_a_missing_file_is_an_error_that_names_it():
    done = run_verb("perplexity", "/nowhere/text.txt")
    assert done.returncode == 1 and b"/nowhere/text.txt" in done.stderr


def test_one_scored_token_has_no_uncertainty(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("Once upon a time")
    done = run_verb("perplexity", path, "--context", 4, *EXTRA)
    assert done.returncode == 0, done.stderr.decode()
    assert re.fullmatch(rb"perplexity: \d+\.\d{4} \+- n/a\n", done.stdout)
    assert b"1 token scored" in done.stderr and b"1 window of 4" in done.stderr


def test_the_run_is_described_on_standard_error(tmp_path):
    _, _, done = perplexity(story(tmp_path, 100), "--context", 64, "--kv-type", "q8")
    first, last = done.stderr.decode().splitlines()[0], done.stderr.decode().splitlines()[-1]
    assert "Q8_0" in first and "Q8" in first and "windows of 64" in first and "left out" in first
    assert "tokens scored" in last and "tokens/s" in last


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_a_bar_is_drawn_and_taken_away(tmp_path, columns):
    text = story(tmp_path, 60)  # a second or so for the reference arithmetic
    seen = run_on_terminal("perplexity", text, "--context", 64, "--threads", 1, "--cpu", "ref",
                           columns=columns)
    assert seen.returncode == 0 and LAST.search("\n".join(seen.lines) + "\n")
    bars = [line for line in seen.drawn if line.startswith("reading the text: ")]
    assert bars and all(len(bar) < columns for bar in bars)
    assert any("perplexity so far" in bar for bar in bars) == (columns == 120)
    assert not any("reading the text" in line for line in seen.lines)
