"""The chart, what is made of it, and the kustomizations: one thing in three forms."""
import re

import pytest
import yaml

import rendering
from rendering import CHART, KUBERNETES, OLDEST, OVERLAYS, RULES, VALUES, read, template

BAD = (["replicas=two"], ["batch=0"], ["bath=8"], ["model.ref=qwen"], ["extraArgs[0]=8"],
       ["autoscaling.hpa=true", "autoscaling.keda=true"], ["resources.memory=plenty"],
       ["drain.secnds=4"], ["service.type=Cluster"])


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem if path else "defaults")
def test_helm_takes_the_chart(helm, values):
    arguments = ["-f", values] if values else []
    said = helm("lint", "--strict", CHART, *OLDEST, *arguments)
    assert "0 chart(s) failed" in said and "[WARNING]" not in said, said
    names = [(item["kind"], item["metadata"]["name"]) for item in read(template(values))]
    assert len(set(names)) == len(names) >= 5


@pytest.mark.parametrize("wrong", BAD, ids="+".join)
def test_a_value_that_is_wrong_is_refused(helm, wrong):
    options = [part for value in wrong for part in ("--set", value)]
    done = rendering.run(rendering.program("helm"), "template", "smallmind", CHART, *OLDEST,
                         *options)
    assert done.returncode != 0
    assert any(word.split("=")[0].split(".")[-1].split("[")[0] in done.stderr for word in wrong)


def test_names_follow_the_release(helm):
    for release, name in (("smallmind-b", "smallmind-b"), ("chat", "chat-smallmind")):
        values = CHART / "ci" / "everything.yaml"
        for item in read(helm("template", release, CHART, *OLDEST, "-f", values)):
            assert item["metadata"]["name"] in (name, f"{name}-picker")
            if item["kind"] == "Deployment":
                labels = item["spec"]["selector"]["matchLabels"]
                assert labels["app.kubernetes.io/instance"] == release


def test_files_made_of_the_chart_are_its_output(helm):
    for path, text in rendering.made():
        assert path.read_text() == text, f"{path}: run `make manifests`"


def test_the_rules_are_those_of_prometheus(kustomize):
    """Without Helm too."""
    rule = next(item for item in read(kustomize(KUBERNETES / "overlays" / "claim"))
                if item["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert (CHART / "files" / "rules.yml").read_text() == RULES.read_text()


def normal(item):
    """Without what is Helm's own, and with lists of named things in their names' order."""
    if isinstance(item, dict):
        out = {}
        for key, value in item.items():
            if key in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                continue
            out[key] = normal(value)
        return out
    if isinstance(item, list):
        out = [normal(part) for part in item]
        if out and all(isinstance(part, dict) and "name" in part for part in out):
            out.sort(key=lambda part: part["name"])
        return out
    return item


def by_name(items, namespace):
    found = {}
    for item in items:
        found_in = item["metadata"].pop("namespace", namespace)
        assert found_in == namespace
        found[item["kind"], item["metadata"]["name"]] = normal(item)
    return found


@pytest.mark.parametrize("folder", OVERLAYS)
def test_kustomize_and_helm_make_the_same(helm, kustomize, folder):
    values = OVERLAYS[folder] and rendering.values_path(OVERLAYS[folder])
    ours = by_name(read(kustomize(KUBERNETES / folder)), rendering.NAMESPACE)
    charts = by_name(read(template(values)), rendering.NAMESPACE)
    assert ours.keys() == charts.keys()
    for key in ours:
        assert ours[key] == charts[key], key


@pytest.mark.parametrize("folder", OVERLAYS)
def test_kubectls_own_kustomize_makes_the_same(folder):
    """It is an older one, and what `kubectl apply -k` uses."""
    alone, part = rendering.program("kustomize"), rendering.program("kubectl")
    if alone is None or part is None:
        pytest.skip("needs kustomize and kubectl both")
    ours = rendering.run(part, "kustomize", KUBERNETES / folder)
    assert ours.returncode == 0, ours.stderr
    assert read(ours.stdout) == read(rendering.kustomize(KUBERNETES / folder))


def test_the_namespace_of_an_overlay_reaches_its_queries(kustomize, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (KUBERNETES / "overlays" / "claim" / "kustomization.yaml").read_text()
    # kustomize takes no absolute path: a copy of the folders beside it.
    for name in ("base", "components"):
        (tmp_path / name).symlink_to(KUBERNETES / name)
    text = text.replace("namespace: smallmind", "namespace: other").replace("../../", "../")
    (folder / "kustomization.yaml").write_text(text)
    scaled = next(item for item in read(kustomize(folder)) if item["kind"] == "ScaledObject")
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    assert queries and all('namespace="other"' in query for query in queries)


def test_versions_are_the_programs():
    text = (rendering.ROOT / "CMakeLists.txt").read_text()
    version = re.search(r"project\(smallmind VERSION (\S+)", text).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version
    for path in KUBERNETES.rglob("*.yaml"):
        for found in re.findall(r"image: smallmind:(\S+)", path.read_text()):
            assert found == version, path
