"""Renders the chart and the kustomizations; run alone, writes the files that are made of the chart.

The chart (deploy/kubernetes/chart) is where each fact stands. The objects of the base and of the
components that add some are its output without what is Helm's own, so that `kubectl apply -k` needs
no Helm; overlays are written by hand. test_rendering.py holds all of them to the chart.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = KUBERNETES / "chart"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
BIN = pathlib.Path(os.environ.get("SMALLMIND_MANIFESTS_BIN", ROOT / "build" / "manifests-bin"))
NAMESPACE = "smallmind"
# A Helm that `go install` built takes itself to speak to 1.20.
OLDEST = ("--kube-version", "1.30.0")
VALUES = [None, *sorted((CHART / "ci").glob("*.yaml"))]
OVERLAYS = {"base": None, "overlays/pulled": "pulled", "overlays/claim": "claim",
            "overlays/gateway": "gateway"}
HEADER = "# Made by `make manifests` of deploy/kubernetes/chart: change it there.\n"
# Folder, values, templates.
MADE = (("base", None, ("serviceaccount", "deployment", "service", "poddisruptionbudget",
                        "networkpolicy")),
        ("components/monitoring", "claim", ("servicemonitor", "prometheusrule")),
        ("components/hpa", "pulled", ("horizontalpodautoscaler",)),
        ("components/keda", "claim", ("scaledobject",)),
        ("components/gateway", "gateway", ("gateway", "picker")))
HELMS_OWN = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^# Source: .*\n",
                       re.MULTILINE)


def program(name):
    """Its path, or None: `make test-manifests` builds both where Go modules can be had."""
    path = BIN / name
    return str(path) if path.is_file() else shutil.which(name)


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def helm(*arguments):
    done = run(program("helm"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def values_path(name):
    return CHART / "ci" / f"{name}.yaml"


def template(values=None, *more):
    arguments = ["-f", values] if values else []
    return helm("template", "smallmind", CHART, "-n", NAMESPACE, *OLDEST, *arguments, *more)


def kustomize(folder):
    """`kustomize build`, by kubectl where that alone is there."""
    alone, part = program("kustomize"), program("kubectl")
    done = run(alone, "build", folder) if alone else run(part, "kustomize", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(text):
    return [item for item in yaml.safe_load_all(text) if item]


def made():
    """(path, text) of each file that is made."""
    yield CHART / "files" / "rules.yml", RULES.read_text()
    for folder, values, templates in MADE:
        for name in templates:
            text = template(values and values_path(values), "-s", f"templates/{name}.yaml")
            text = HELMS_OWN.sub("", text).removeprefix("---\n")
            text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
            yield KUBERNETES / folder / f"{name}.yaml", HEADER + text


def main():
    if program("helm") is None:
        sys.exit("helm is not there: go install helm.sh/helm/v3/cmd/helm@v3.19.0")
    (CHART / "files").mkdir(exist_ok=True)
    (CHART / "files" / "rules.yml").write_text(RULES.read_text())
    for path, text in made():
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
