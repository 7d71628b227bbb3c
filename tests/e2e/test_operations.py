"""docs/OPERATIONS.md leaves nothing out: each metric and each alert is named there."""
import re

from service import ROOT

GUIDE = (ROOT / "docs" / "OPERATIONS.md").read_text()


def test_every_metric_is_explained(shared):
    names = shared("--metrics-names", "vllm").metrics().types
    assert len(names) > 40
    assert not [name for name in names if f"`{name}`" not in GUIDE]


def test_what_is_explained_is_there(shared):
    names = shared("--metrics-names", "vllm").metrics().types
    rows = re.findall(r"^\| ((?:`[a-z_:]+`(?:, )?)+) \|", GUIDE, re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`([a-z_:]+)`", row)
                 if name.startswith(("smallmind_", "gen_ai_", "process_", "vllm:"))]
    assert len(explained) > 40
    assert not [name for name in explained if name not in names]


def test_every_alert_is_explained():
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.MULTILINE)
    assert len(alerts) >= 7
    assert not [name for name in alerts if f"| `{name}` |" not in GUIDE]
