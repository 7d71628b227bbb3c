"""The dashboard for Grafana, the rules and the compose file.

Grafana's own checks cannot be had here: its JSON is judged by structure, and each query by a real
Prometheus that scrapes a service under load.
"""
import http.client
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.parse

import pytest
import yaml

import models
from service import LIMIT, ROOT, Service, poll

GRAFANA, PROMETHEUS = ROOT / "deploy" / "grafana", ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "smallmind.json").read_text())
PANELS = DASHBOARD["panels"]
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
         for rule in group["rules"]]
UNITS = {"short", "s", "bytes", "percentunit", "reqps"}
SERIES = re.compile(r"\b(?:smallmind|gen_ai|process)_[a-z_]+")
SELECTOR = re.compile(r"\b((?:smallmind|gen_ai)[a-z_:0-9]+)(\{[^}]*\})?")
NEEDS = ("Tokens", "Time to first token", "Time per token", "Queue", "Refusals by reason",
         "Batch size", "KV pages", "Prefix hits", "Step time against the roofline",
         "CPU throttling", "Memory", "Errors and what was lost")


def queries():
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


def test_every_panel_is_whole():
    found = [s for f in (GRAFANA / "provisioning" / "datasources").iterdir()
             for s in yaml.safe_load(f.read_text())["datasources"]]
    uids = {source["uid"] for source in found}
    assert set(NEEDS) <= {panel["title"] for panel in PANELS}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["type"] in ("stat", "timeseries", "heatmap"), panel["title"]
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"] and panel["datasource"]["uid"] in uids
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"], panel["title"]
            heat = panel["type"] == "heatmap"
            assert heat == (target.get("format") == "heatmap")
            assert not heat or "sum by (le)" in target["expr"]


def test_panels_fill_the_grid_without_overlaps():
    cells = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"])
               for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        cells |= own
    assert len(cells) == 24 * (1 + max(y for _, y in cells)), "there are gaps"


def test_every_variable_is_there():
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for title, query in queries():
        assert set(re.findall(r"\$(\w+)", query)) <= names | {"__rate_interval"}, title


def test_every_series_of_the_dashboard_is_there(shared):
    exposed = shared().get("/metrics").body.decode()
    asked = {name for _, query in queries() for name in SERIES.findall(query)}
    assert len(asked) > 20
    for name in asked:
        assert re.search(rf"^{name}[{{ ]", exposed, re.MULTILINE), name


def test_compose_names_what_is_there():
    folder = ROOT / "docker"
    whole = yaml.safe_load((folder / "compose.yaml").read_text())
    services = whole["services"]
    assert set(services) == {"smallmind", "prometheus", "grafana"}
    for name, service in services.items():
        for mount in service["volumes"]:
            source, target = mount.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (folder / source).resolve().exists(), mount
            else:
                assert source in whole["volumes"], mount
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert set(service.get("depends_on", [])) <= set(services)
    own = services["smallmind"]
    assert own["read_only"] and own["cap_drop"] == ["ALL"]
    assert (folder / own["build"]["context"] / own["build"]["dockerfile"]).is_file()
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == ["smallmind:8080"]


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no docker-compose")
def test_docker_compose_takes_it():
    folder = ROOT / "docker"
    # Debian 12's does not know a project's name yet.
    text = re.sub(r"^name:.*\n", "", (folder / "compose.yaml").read_text(), flags=re.MULTILINE)
    done = subprocess.run(["docker-compose", "--file", "-", "--project-directory", folder,
                           "config", "--quiet"], input=text, capture_output=True, text=True,
                          timeout=LIMIT)
    assert done.returncode == 0, done.stderr


class Prometheus:
    """Debian's, with one service to scrape and our rules."""

    def __init__(self, folder, target):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s",
                             "evaluation_interval": "1s"},
                  "rule_files": [str(PROMETHEUS / "rules.yml")],
                  "scrape_configs": [{"job_name": "smallmind",
                                      "static_configs": [{"targets": [target]}]}]}
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.log = open(folder / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle"],
            stdout=self.log, stderr=self.log)

    def get(self, path, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def ready(self):
        try:
            return bool(self.values("up == 1"))
        except (OSError, ValueError):
            assert self.process.poll() is None, open(self.log.name).read()[-2000:]
            return False

    def values(self, query):
        return [float(sample["value"][1])
                for sample in self.get("/api/v1/query", query=query)["result"]]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Load:
    """Clients that ask again and again, more than there is room for."""

    def __init__(self, address, n_clients):
        self.address, self.ended = address, threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(n_clients)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        body = json.dumps({"prompt": [5] * 40, "max_tokens": 24, "ignore_eos": True})
        while not self.ended.is_set():
            connection = http.client.HTTPConnection(*self.address, timeout=60)
            try:
                connection.request("POST", "/generate", body)
                connection.getresponse().read()
            except OSError:
                pass  # at the end of the service
            finally:
                connection.close()
            self.ended.wait(0.02)

    def close(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def watched(request, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("there is no prometheus")
    service = Service("--workers", 1, "--max-batch", 2, "--max-queue", 2, model=models.slow())
    load = Load(service.address[:2], 8)
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"),
                            "%s:%s" % service.address[:2])
    try:
        poll("a first sample", prometheus.ready, 60)
        yield prometheus
    finally:
        load.close()
        prometheus.close()
        service.stop()


def filled(query):
    """As Grafana fills in its variables."""
    for name, value in (("$__rate_interval", "30s"), ("$job", ".*"), ("$instance", ".*"),
                        ("$bandwidth", "20")):
        query = query.replace(name, value)
    return query


def test_every_panel_shows_data(watched):
    for title, query in queries():
        def numbers(query=query):
            return [v for v in watched.values(filled(query)) if v == v]
        poll(f"{title}: {query}", numbers, 60)
    # What the load is sure to have caused is more than nothing.
    for query in ("smallmind_requests_rejected_total{reason=\"queue_full\"}",
                  "smallmind_prefix_cache_hit_tokens_total"):
        poll(query, lambda query=query: sum(watched.values(query)) > 0, 60)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_every_rule_has_data(watched, rule):
    if "record" in rule:
        poll(rule["record"], lambda: watched.values(rule["record"]), 60)
        return
    for name, labels in SELECTOR.findall(rule["expr"]):
        poll(name + labels, lambda q=name + labels: watched.values(q), 60)

    def judged():
        return [r for group in watched.get("/api/v1/rules")["groups"] for r in group["rules"]
                if r["name"] == rule["alert"] and r["health"] == "ok"]
    poll(f"{rule['alert']} is evaluated", judged, 60)
