"""Chat templates render byte for byte as Python's jinja2 renders them, and refuse where it does."""
import json
import os
import pathlib
import subprocess

import chat_cases
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RENDER = pathlib.Path(os.environ.get("SMALLMIND_BIN", ROOT / "build/smallmind")).parent / "jinja_render"
SHARED = sorted((ROOT / "../shared/fixtures/templates").glob("*.jinja"))
OWN = sorted((ROOT / "tests/fixtures/templates").glob("*.jinja"))
CASES = 300

jinja2 = pytest.importorskip("jinja2", reason="python3-jinja2 is not installed")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = chat_cases.conversations(CASES, seed=12)
    path = tmp_path_factory.mktemp("templates") / "cases.jsonl"
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in made))
    return made, path


def ours(template, path):
    done = subprocess.run([RENDER, template, path], capture_output=True, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


@pytest.mark.parametrize("file", [*SHARED, *OWN], ids=lambda file: file.stem)
def test_renders_as_jinja2(file, cases):
    if not RENDER.exists():
        pytest.skip(f"{RENDER} is not built")
    made, path = cases
    template = chat_cases.environment().from_string(file.read_text())
    got = ours(file, path)
    assert len(got) == len(made), got[:1]
    for i, (case, answer) in enumerate(zip(made, got)):
        want = chat_cases.rendered(template, case)
        assert answer.get("text") == want, f"case {i}: {json.dumps(case)}\n{answer}"
