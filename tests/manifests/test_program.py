"""What manifests ask of the program, asked of the program: its flags, the routes that are probed,
the end of a pod, and each metric by name that an autoscaler or the endpoint picker reads.
"""
import ctypes
import os
import re
import shutil
import signal

import pytest
import yaml

import models
import rendering
from pull_server import File, Server
from rendering import CHART, KUBERNETES, OVERLAYS, VALUES, read, template
from service import Service, poll, run_verb

SECRET = "a-key-of-the-test"


def pod_of(objects):
    return next(item["spec"]["template"]["spec"] for item in objects
                if item["kind"] == "Deployment" and item["metadata"]["name"] == "smallmind")


@pytest.fixture(scope="module")
def all_objects(request):
    """{name: objects} of whatever can be rendered here."""
    found = {}
    kustomize = request.getfixturevalue("kustomize")
    for folder in OVERLAYS:
        found[folder] = read(kustomize(KUBERNETES / folder))
    if rendering.program("helm"):
        for path in VALUES:
            found[path.stem if path else "defaults"] = read(template(path))
    return found


def main_of(objects):
    return next(c for c in pod_of(objects)["containers"] if c["name"] == "smallmind")


def local(arguments, folder):
    """The same flags with what is mounted in a pod put beside the test instead."""
    keys = folder / "keys"
    keys.write_text(f"another\n{SECRET}\n")
    out = []
    for argument in arguments:
        if argument.startswith("--model="):
            argument = "--model=builtin"
        elif argument.startswith("--api-key-file="):
            assert argument == "--api-key-file=/etc/smallmind/keys"
            argument = f"--api-key-file={keys}"
        out.append(argument)
    return out


def test_the_program_takes_every_flag(all_objects, tmp_path):
    for name, objects in all_objects.items():
        verb, *flags = main_of(objects)["args"]
        assert verb == "serve"
        done = run_verb("serve", *local(flags, tmp_path), "--print-config")
        assert done.returncode == 0, (name, done.stderr)
        said = done.stdout.decode()
        for flag in flags:
            key, value = re.fullmatch(r"--([a-z-]+)=(.*)", flag).groups()
            if key not in ("model", "api-key-file"):
                line = next(line for line in said.splitlines()
                            if line.replace("_", "-").lstrip("- ").startswith(key))
                assert value in line, (flag, line)
        for init in pod_of(objects).get("initContainers", []):
            verb, reference = init["args"]
            done = run_verb(verb, reference, env={"HF_ENDPOINT": "http://127.0.0.1:1",
                                                  "OLLAMA_ENDPOINT": "http://127.0.0.1:1",
                                                  "SMALLMIND_PULL_TRIES": "1",
                                                  "SMALLMIND_MODELS_DIR": str(tmp_path)})
            # Its name is understood; what is not here is the network.
            assert done.returncode == 1, (name, done.stderr)


def read_only(folder):
    """For Popen: the folder is mounted so that not even root may write, as a pod's volume is."""
    libc = ctypes.CDLL(None, use_errno=True)
    place, private, bind, read = str(folder).encode(), 1 << 18 | 1 << 14, 1 << 12, 1 << 5 | 1

    def before():
        for call in (lambda: libc.unshare(0x20000),
                     lambda: libc.mount(b"none", b"/", None, private, None),
                     lambda: libc.mount(place, place, None, bind, None),
                     lambda: libc.mount(b"none", place, None, bind | read, None)):
            if call() != 0:
                raise OSError(ctypes.get_errno(), "mount")

    return before


@pytest.mark.parametrize("reference", ("hf:own/repo/sub/model-Q4_0.gguf", "hf:own/repo:Q4_0"))
def test_what_an_init_container_pulls_is_served(kustomize, tmp_path, reference):
    """Out of a volume that the server may only read, and without the network."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a mount that is read-only")
    spec = pod_of(read(kustomize(KUBERNETES / "overlays" / "pulled")))
    init, main = spec["initContainers"][0], spec["containers"][0]
    data, path = models.fixture("llama256.Q4_0.gguf").read_bytes(), "sub/model-Q4_0.gguf"
    hub, volume = Server(), tmp_path / "volume"
    volume.mkdir()
    try:
        hub.put_tree({path: File(data)})
        hub.put_hub(path, File(data))
        env = {"SMALLMIND_MODELS_DIR": str(volume), "HF_ENDPOINT": hub.url, "HF_TOKEN": ""}
        for said in (b"got whole", b"there already"):  # a container that is started again
            done = run_verb(init["args"][0], reference, env=env)
            assert done.returncode == 0 and said in done.stderr, done.stderr
    finally:
        hub.close()
    flags = [flag for flag in main["args"][1:]
             if not flag.startswith(("--model=", "--api-key-file="))]
    service = Service(*flags, model=reference, env=env, preexec_fn=read_only(volume))
    try:
        assert service.answer(prompt="Once", max_tokens=3)["text"] is not None
        with pytest.raises(OSError):
            open(f"/proc/{service.pid}/root{volume}/x", "w")
    finally:
        service.kill()


class Pod(Service):
    """The program as the manifest starts it."""

    def __init__(self, container, folder, model):
        self.container = container
        flags = local(container["args"][1:], folder)
        super().__init__(*flags, f"--model={model}")

    def probe(self, kind):
        get = self.container[kind]["httpGet"]
        port = next(p for p in self.container["ports"] if p["name"] == get["port"])
        assert port["containerPort"] == 8080  # the program's default, which no flag changes
        return self.get(get["path"]).status


@pytest.fixture
def pod(request, kustomize, tmp_path):
    started = []

    def start(folder="base", model="builtin", **drain):
        container = main_of(read(kustomize(KUBERNETES / folder)))
        # The same order of times, of which the test need not wait for all.
        for name, value in drain.items():
            prefix = f"--{name.replace('_', '-')}="
            assert sum(a.startswith(prefix) for a in container["args"]) == 1
            container["args"] = [prefix + str(value) if a.startswith(prefix) else a
                                 for a in container["args"]]
        started.append(Pod(container, tmp_path, model))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.mark.parametrize("folder", ("base", "overlays/pulled"))
def test_probes_are_answered(pod, folder):
    """With keys as without: a probe has none."""
    one = pod(folder)
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert one.probe(kind) == 200
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert one.post("/generate", {"prompt": "Once", "max_tokens": 2}, headers).status == 200
    if folder == "overlays/pulled":
        assert one.get("/metrics").status == 401
    assert one.get("/metrics", headers).status == 200
    one.signal(signal.SIGTERM)
    poll("not ready", lambda: one.probe("readinessProbe") == 503)
    assert one.probe("livenessProbe") == 200
    one.signal(signal.SIGTERM)


def test_limits_are_what_the_manifest_says(pod):
    one = pod()
    limits = one.info()["limits"]
    flags = dict(a.lstrip("-").split("=") for a in one.container["args"][1:])
    assert limits["max_batch"] == int(flags["max-batch"])
    assert limits["max_queue"] == int(flags["max-queue"])
    assert limits["max_wait_seconds"] == int(flags["max-wait-seconds"])


def test_the_end_of_a_pod_loses_nothing(pod):
    """From SIGTERM on: not ready, and what comes is answered; then what runs is finished."""
    one = pod(model=models.slow(), drain_delay=2)
    with one.busy(max_tokens=400) as stream:
        one.signal(signal.SIGTERM)
        poll("not ready", lambda: one.probe("readinessProbe") == 503)
        # Those that have not noticed yet; each comes by a connection of its own.
        for i in range(4):
            assert one.answer(prompt=f"Late {i}", max_tokens=4)["text"] is not None
        end = stream.finish()
        assert end["finish_reason"] == "length" and end["usage"]["completion_tokens"] == 400
    assert one.wait() == 0
    assert one.log_lines("not ready any more") and one.log_lines("finishing what was taken")


def metric_names(objects):
    """Of autoscalers and pickers."""
    for item in objects:
        if item["kind"] == "HorizontalPodAutoscaler":
            yield from (m["pods"]["metric"]["name"] for m in item["spec"]["metrics"])
        elif item["kind"] == "ScaledObject":
            for trigger in item["spec"]["triggers"]:
                yield from re.findall(r"smallmind_\w+", trigger["metadata"]["query"])


def adapters_names():
    rules = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    for rule in rules:
        pattern = re.search(r'__name__=~"([^"]+)"', rule["seriesQuery"]).group(1)
        assert rule["metricsQuery"].count("<<.Series>>") == 1
        yield re.compile(pattern)


def test_prometheus_takes_every_query(all_objects, tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there (Debian's package prometheus)")
    rules = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    places = {"<<.Series>>": "smallmind_requests_queued", "<<.GroupBy>>": "pod",
              "<<.LabelMatchers>>": 'namespace="llm",pod=~"a|b"'}
    queries = [rule["seriesQuery"] for rule in rules]
    for query in (rule["metricsQuery"] for rule in rules):
        for place, text in places.items():
            assert query.count(place) == 1
            query = query.replace(place, text)
        queries.append(query)
    queries += [trigger["metadata"]["query"] for objects in all_objects.values()
                for item in objects if item["kind"] == "ScaledObject"
                for trigger in item["spec"]["triggers"]]
    assert len(queries) >= 5
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [
        {"record": f"query:{i}", "expr": query} for i, query in enumerate(queries)]}]}))
    done = rendering.run(promtool, "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def picker_specs():
    config = yaml.safe_load((CHART / "files" / "picker.yaml").read_text())
    extractor = next(p for p in config["plugins"] if p["type"] == "core-metrics-extractor")
    engines = extractor["parameters"]["engineConfigs"]
    assert [engine["name"] for engine in engines] == [extractor["parameters"]["defaultEngine"]]
    return {key: value for key, value in engines[0].items() if key != "name"}


def test_each_metric_by_name_is_there(pod, all_objects):
    metrics = pod().metrics()
    names = {name for objects in all_objects.values() for name in metric_names(objects)}
    assert names >= {"smallmind_requests_queued", "smallmind_requests_running",
                     "smallmind_generated_tokens_per_second"}
    patterns = list(adapters_names())
    for name in names:
        assert metrics.value(name) is not None
        if name in {n for o in all_objects.values() for n in metric_names(o)}:
            assert any(pattern.fullmatch(name) for pattern in patterns), name
    for name in picker_specs().values():
        assert metrics.value(name) is not None


def test_what_the_picker_reads_is_right_under_load(pod):
    """Its protocol: gauges; queued and running requests, KV memory in use from 0 to 1, a page's
    tokens and the number of pages."""
    one = pod(model=models.slow())
    specs, limits = picker_specs(), one.info()["limits"]
    most = limits["max_batch"] * one.info()["workers"]
    kv = one.info()["kv"]

    def read_all():
        metrics = one.metrics()
        assert all(metrics.types[name] == "gauge" for name in specs.values())
        return {key: metrics.value(name) for key, name in specs.items()}

    idle = read_all()
    assert idle == {"queuedRequestsSpec": 0, "runningRequestsSpec": 0, "kvUsageSpec": 0,
                    "cacheBlockSizeSpec": kv["page_positions"], "cacheNumBlocksSpec": kv["pages"]}
    streams = [one.stream(prompt=[5 + i] * 40, max_tokens=1900, ignore_eos=True)
               for i in range(most + 3)]
    try:
        full = poll("all run or wait", lambda: (
            now if (now := read_all())["runningRequestsSpec"] == most else None))
        assert 0 < full["kvUsageSpec"] <= 1
        assert full["queuedRequestsSpec"] + full["runningRequestsSpec"] <= most + 3
        assert full["cacheNumBlocksSpec"] == kv["pages"]
    finally:
        for stream in streams:
            stream.connection.reset()
    one.wait_until_idle()
    assert read_all()["kvUsageSpec"] == 0
