"""Where a profile's report goes: never over a model, never half over what was there."""
import json
import os
import resource
import shutil
import subprocess
import threading

import pytest

import models
from service import BINARY, EXTRA, LIMIT, clean_environment, run_verb

SHORT = ["--sessions", "1", "--tokens", "2"]
LONG = ["--sessions", "100000", "--tokens", "90"]  # hours: only for what ends before the run


def profile(*args, **options):
    return run_verb("profile", *EXTRA, *args, timeout=6 * LIMIT, **options)


@pytest.fixture
def model(tmp_path):
    return shutil.copy(models.fixture("llama256.Q4_K_M.gguf"), tmp_path / "m.gguf")


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_model_is_not_written_over(model, tmp_path):
    before = model.read_bytes()
    os.chmod(model, 0o644)
    os.link(model, tmp_path / "run.html")
    (tmp_path / "link").symlink_to(model)
    (tmp_path / "not.gguf").write_bytes(b"it is the model, whatever it holds")
    for args in (["--json", model], ["--json", "link"], ["--model", model, "--html", model],
                 ["--model", "builtin", "--trace", model], ["--json", "--html", "run"],
                 ["--model", "not.gguf", "--json", "not.gguf"]):
        done = profile(*args, *LONG, cwd=tmp_path)
        assert done.returncode == 2 and "is a model" in done.stderr.decode(), args
    assert model.read_bytes() == before and not (tmp_path / "run.json").exists()
    assert (tmp_path / "not.gguf").read_bytes().startswith(b"it is")
    assert leftovers(tmp_path) == []


def test_what_cannot_be_written_is_told_before_the_run(tmp_path):
    (tmp_path / "folder").mkdir()
    for target in ("missing/x.json", "folder", "x" * 300, "x/" * 3000):
        done = profile("--json", target, *LONG, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr, target
    done = profile("--json", "--html", "--trace", "folder/x/y", *LONG, cwd=tmp_path)
    assert done.returncode == 1
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_or_folder_that_is_closed_is_told_before_the_run(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "closed.json").touch(mode=0o444)
    for target in ("closed/x.json", "closed.json"):
        done = profile("--json", target, *LONG, cwd=tmp_path)
        assert done.returncode == 1 and b"ermission" in done.stderr


def test_a_report_replaces_another_and_keeps_its_rights(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")
    path.chmod(0o640)
    (tmp_path / "link").symlink_to("out.json")
    assert profile("--json", "link", *SHORT, cwd=tmp_path).returncode == 0
    assert json.loads(path.read_text())["format"] == 1
    assert (tmp_path / "link").is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "out.json"]
    (tmp_path / "later").symlink_to("new.json")
    assert profile("--json", "later", *SHORT, cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "new.json").read_text())["format"] == 1


def test_a_report_survives_the_failure_of_the_next(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")

    def limit():  # as a full disk: no file may grow beyond this
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run([str(BINARY), "profile", *EXTRA, "--json", str(path), *SHORT],
                          capture_output=True, env=clean_environment(), preexec_fn=limit)
    assert done.returncode != 0 and path.read_text() == "old"


def test_what_is_no_file_is_written_as_it_is(tmp_path):
    done = profile("--json", "/dev/full", *SHORT)
    assert done.returncode == 1 and b"No space left" in done.stderr
    assert profile("--json", "/dev/null", *SHORT).returncode == 0
    for name in ("/dev/stdout", "-"):
        done = profile("--json", name, *SHORT, cwd=tmp_path)
        assert done.returncode == 0 and json.loads(done.stdout)["format"] == 1, name
    os.mkfifo(tmp_path / "pipe")
    text = []
    reader = threading.Thread(target=lambda: text.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert profile("--json", tmp_path / "pipe", *SHORT).returncode == 0
    reader.join()
    assert json.loads(text[0])["format"] == 1
    assert os.listdir(tmp_path) == ["pipe"]


def test_standard_outputs_own_file_goes_on(tmp_path):
    with open(tmp_path / "all", "wb") as out:
        out.write(b"before\n")
        out.flush()
        done = subprocess.run([str(BINARY), "profile", *EXTRA, "--json", "/dev/stdout", *SHORT],
                              stdout=out, env=clean_environment())
        out.seek(0, os.SEEK_END)
        out.write(b"\nafter\n")
    assert done.returncode == 0
    first, report, last = (tmp_path / "all").read_text().splitlines()
    assert (first, json.loads(report)["format"], last) == ("before", 1, "after")
