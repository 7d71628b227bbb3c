"""The rules for Prometheus: they ask for what /metrics has, and their own unit tests pass."""
import re
import shutil
import subprocess

import pytest

from service import LIMIT, ROOT

FOLDER = ROOT / "deploy" / "prometheus"
SERIES = re.compile(r"\b(?:smallmind|gen_ai|process)_[a-z_]+")


def test_every_series_that_rules_ask_for_is_there(shared):
    exposed = shared().get("/metrics").body.decode()
    rules = (FOLDER / "rules.yml").read_text()
    asked = {name for line in re.findall(r"^ +expr: (.*)$", rules, re.MULTILINE)
             for name in SERIES.findall(line)}
    assert len(asked) >= 8
    for name in asked:
        assert re.search(rf"^{name}[{{ ]", exposed, re.MULTILINE), name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
@pytest.mark.parametrize("command", [["check", "rules", "rules.yml"],
                                     ["test", "rules", "rules_test.yml"]])
def test_promtool_finds_no_fault(command):
    done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True,
                          timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
