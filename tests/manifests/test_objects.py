"""Each object, as the chart and the kustomizations make it: valid for several Kubernetes versions
and for the projects' own definitions, with names that meet, confined, and with its own times in
order.
"""
import kubernetes_validate
import pytest
import yaml

import structure
from rendering import CHART, KUBERNETES, OVERLAYS, VALUES, read, template

VERSIONS = ("1.30", "1.32", "1.34", "1.37")


def pytest_generate_tests(metafunc):
    if "objects" in metafunc.fixturenames:
        sources = [("helm", path) for path in VALUES] + [("kustomize", name) for name in OVERLAYS]
        metafunc.parametrize("objects", sources, indirect=True, ids=[
            f"{kind}-{getattr(what, 'stem', what or 'defaults')}" for kind, what in sources])


@pytest.fixture(scope="module")
def objects(request):
    kind, what = request.param
    if kind == "helm":
        request.getfixturevalue("helm")
        return read(template(what))
    return read(request.getfixturevalue("kustomize")(KUBERNETES / what))


def of(objects, kind, name=None):
    return [item for item in objects
            if item["kind"] == kind and name in (None, item["metadata"]["name"])]


def the(objects, kind):
    return next((item for item in of(objects, kind) if "picker" not in item["metadata"]["name"]),
                None)


def pods(objects):
    """(workload, its pod's spec)"""
    for item in of(objects, "Deployment"):
        yield item, item["spec"]["template"]["spec"]


def containers(spec):
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_them(objects, version):
    n_known = 0
    for item in objects:
        if structure.key_of(item) in structure.LEAST:
            continue
        kubernetes_validate.validate(item, version, strict=True)
        n_known += 1
    assert n_known >= 5


def test_a_wrong_object_is_not_taken(objects):
    """The judge is awake."""
    wrong = yaml.safe_load(yaml.safe_dump(the(objects, "Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_custom_resources_are_as_defined(objects, schemas):
    definitions, missing = schemas
    found = [item for item in objects if structure.key_of(item) in structure.LEAST]
    for item in found:
        assert not (faults := structure.faults(item, definitions)), (item["kind"], faults)
        if structure.key_of(item) in definitions:
            wrong = yaml.safe_load(yaml.safe_dump(item))
            wrong["spec"]["unheardOf"] = 1
            assert structure.faults(wrong, definitions)
    if found and missing:
        pytest.skip(f"checked for what they must have alone, as {missing} could not be had")


def test_selectors_meet_their_pods(objects):
    labels = {item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"]
              for item in of(objects, "Deployment")}
    ports = {item["metadata"]["name"]: {port["name"] for c in spec["containers"]
                                        for port in c["ports"]} for item, spec in pods(objects)}

    def chosen(selector):
        return [name for name, own in labels.items() if selector.items() <= own.items()]

    for item in of(objects, "Deployment"):
        own = item["metadata"]["name"]
        assert chosen(item["spec"]["selector"]["matchLabels"]) == [own]
        for spread in item["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert chosen(spread["labelSelector"]["matchLabels"]) == [own]
    for item in of(objects, "Service"):
        names = chosen(item["spec"]["selector"])
        assert names == [item["metadata"]["name"]]
        assert {port["targetPort"] for port in item["spec"]["ports"]} <= ports[names[0]]
    service = the(objects, "Service")
    for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"),
                       ("InferencePool", "selector")):
        for item in of(objects, kind):
            assert chosen(item["spec"][path]["matchLabels"]) == [service["metadata"]["name"]]
    for item in of(objects, "ServiceMonitor"):
        assert item["spec"]["selector"]["matchLabels"].items() <= \
            service["metadata"]["labels"].items()
        names = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in item["spec"]["endpoints"]} <= names
    for item in of(objects, "HorizontalPodAutoscaler") + of(objects, "ScaledObject"):
        target = item["spec"]["scaleTargetRef"]
        assert of(objects, target["kind"], target["name"])
        # Or each `apply` would undo what the autoscaler did.
        assert "replicas" not in the(objects, "Deployment")["spec"]


def test_the_gateways_names_meet(objects):
    for pool in of(objects, "InferencePool"):
        picker = pool["spec"]["endpointPickerRef"]
        service = of(objects, "Service", picker["name"])[0]
        assert picker["port"]["number"] in [port["port"] for port in service["spec"]["ports"]]
        number = pool["spec"]["targetPorts"][0]["number"]
        spec = next(spec for item, spec in pods(objects) if item is the(objects, "Deployment"))
        assert number in [port["containerPort"] for port in spec["containers"][0]["ports"]]
        route = the(objects, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]
        assert (route["kind"], route["name"]) == ("InferencePool", pool["metadata"]["name"])
        arguments = of(objects, "Deployment", picker["name"])[0]["spec"]["template"]["spec"][
            "containers"][0]["args"]
        assert f"--pool-name={pool['metadata']['name']}" in arguments
        text = of(objects, "ConfigMap", picker["name"])[0]["data"]["picker.yaml"]
        assert yaml.safe_load(text) == yaml.safe_load((CHART / "files" / "picker.yaml").read_text())


def test_the_picker_knows_every_word():
    """Its kinds of plugins, and an engine's fields, in the sources of the very version."""
    image = yaml.safe_load((CHART / "values.yaml").read_text())["gateway"]["picker"]["image"]
    module = "sigs.k8s.io/gateway-api-inference-extension@" + image.split(":")[-1]
    assert module in structure.LIST.read_text()
    folder = structure.module_folder(module)
    if folder is None:
        pytest.skip(f"{module} cannot be had")
    source = "".join(path.read_text() for path in (folder / "pkg" / "epp").rglob("*.go")
                     if not path.name.endswith("_test.go"))
    config = yaml.safe_load((CHART / "files" / "picker.yaml").read_text())
    for plugin in config["plugins"]:
        assert f'= "{plugin["type"]}"' in source
        for name, value in plugin.get("parameters", {}).items():
            assert f'`json:"{name}' in source
            for engine in value if name == "engineConfigs" else []:
                assert all(f'`json:"{field}' in source for field in engine)
    types = {plugin["type"] for plugin in config["plugins"]}
    for profile in config["schedulingProfiles"]:
        assert {use["pluginRef"] for use in profile["plugins"]} <= types


def test_pods_are_confined(objects):
    for item, spec in pods(objects):
        user = 10001 if item is the(objects, "Deployment") else 65532
        assert spec["securityContext"].items() >= {
            "runAsNonRoot": True, "runAsUser": user, "runAsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"}}.items()
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]}}
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            assert set(resources["limits"]) == {"cpu", "memory"}
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False


def test_volumes_are_there_and_used(objects):
    for _, spec in pods(objects):
        there = {volume["name"] for volume in spec.get("volumes", [])}
        used = {mount["name"] for c in containers(spec) for mount in c.get("volumeMounts", [])}
        assert there == used
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    main = next(c for c in spec["containers"] if c["name"] == "smallmind")
    assert all(mount["readOnly"] for mount in main.get("volumeMounts", []))
    for init in spec.get("initContainers", []):
        assert init["image"] == main["image"]
        assert f"--model={init['args'][1]}" in main["args"]
        places = [mount["mountPath"] for mount in init["volumeMounts"]]
        dockerfile = (KUBERNETES.parents[1] / "docker" / "Dockerfile").read_text()
        assert all(f"SMALLMIND_MODELS_DIR={place}\n" in dockerfile for place in places)


def flag(container, name):
    prefix = f"--{name}="
    found = [a.removeprefix(prefix) for a in container["args"] if a.startswith(prefix)]
    assert len(found) == 1, (name, container["args"])
    return found[0]


def test_times_are_in_order(objects):
    """A pod is gone from every list before it refuses, and is not killed before it is done."""
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    main = next(c for c in spec["containers"] if c["name"] == "smallmind")
    sleep = main.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    delay, drain = int(flag(main, "drain-delay")), int(flag(main, "drain-seconds"))
    assert spec["terminationGracePeriodSeconds"] >= sleep + delay + drain + 5
    probe = main["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] <= delay
    # An answer may have waited so long before it began.
    assert drain > int(flag(main, "max-wait-seconds"))
    for route in of(objects, "HTTPRoute"):
        assert route["spec"]["rules"][0]["timeouts"]["request"] == f"{drain}s"
    assert int(flag(main, "max-batch")) > 0 and int(flag(main, "max-queue")) > 0
    for scaler in of(objects, "HorizontalPodAutoscaler"):
        targets = {m["pods"]["metric"]["name"]: int(m["pods"]["target"]["averageValue"])
                   for m in scaler["spec"]["metrics"]}
        assert targets["smallmind_requests_running"] < int(flag(main, "max-batch"))
        assert targets["smallmind_requests_queued"] < int(flag(main, "max-queue"))
