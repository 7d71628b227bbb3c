"""What the system lets the service have: found at start, followed while it runs."""
import os
import threading

import pytest

from control_groups import Group, Tree
from service import poll, sanitizer

PROMPT = "Once upon a time there was a little"
CORES = len(os.sched_getaffinity(0))
two_cores = pytest.mark.skipif(CORES < 2, reason="threads cannot follow on one processor")


def threads_of(service):
    return service.metrics().value("smallmind_threads")


def follows(service, n):
    poll(f"{n} threads", lambda: threads_of(service) == n)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "groups")


@pytest.fixture
def cpu_group():
    group = Group("cpu")
    yield group
    group.remove()


class Crowd:
    """Clients that ask one after the other, the same things each, until they are stopped."""

    def __init__(self, service, n=3):
        self.service, self.stopped, self.answers = service, threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, i):
        while not self.stopped.is_set():
            answer = self.service.generate(prompt=f"{PROMPT} {i}", max_tokens=40, seed=i,
                                           ignore_eos=True, logprobs=0)
            text = answer.json() if answer.status == 200 else {}
            self.answers.append((i, answer.status, text.get("text"), str(text.get("logprobs"))))

    def more(self, n):
        before = len(self.answers)
        poll(f"{n} more answers", lambda: len(self.answers) >= before + n)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def all_equal(answers):
    """None was lost, and each client had the same bytes every time."""
    assert answers and all(status == 200 for _, status, _, _ in answers)
    assert len(set(answers)) == len({i for i, *_ in answers})


def test_the_start_says_what_it_found(serve, tree):
    tree.quota(1, level="pod")  # of the level above
    tree.quota(4)
    tree.memory(high=900 << 20, most=1 << 30, current=100 << 20, inactive=40 << 20)
    service = serve("--cgroup-root", tree.folder)
    info = service.info()
    assert info["threads"] == 1 and "CPU quota" in info["threads_why"] or CORES == 1
    machine = info["machine"]
    assert machine["cpu_quota"] == 1 and machine["processors"] == CORES
    assert machine["memory_limit_bytes"] == machine["memory_bytes"] == 1 << 30
    assert machine["memory_soft_limit_bytes"] == 900 << 20
    assert service.logged("a quota of 1.00) and 1024 MiB of memory")
    metrics = service.metrics()
    assert metrics.value("smallmind_cpu_limit_cores") == 1
    assert metrics.value("smallmind_memory_limit_bytes") == 900 << 20
    assert metrics.value("smallmind_memory_used_bytes") == 60 << 20


def test_without_limits_the_machine_is_the_limit(serve, tree):
    service = serve("--cgroup-root", tree.folder)
    machine, metrics = service.info()["machine"], service.metrics()
    assert machine["cpu_quota"] is machine["memory_limit_bytes"] is None
    assert metrics.value("smallmind_cpu_limit_cores") == machine["cores"]
    assert metrics.value("smallmind_memory_limit_bytes") == machine["memory_bytes"]
    assert 0 < metrics.value("smallmind_memory_used_bytes") < machine["memory_bytes"]


@two_cores
@pytest.mark.parametrize("workers", [(), ("--workers", 1)])
def test_threads_follow_the_quota_and_no_answer_changes(serve, tree, workers):
    """Threads fewer and more under load: nothing is lost, and every answer has the same bytes."""
    service = serve("--cgroup-root", tree.folder, *workers)
    before = threads_of(service)
    assert before >= 2
    crowd = Crowd(service)
    crowd.more(3)
    tree.quota(1)
    follows(service, 1)
    assert "1 (the CPU quota's)" in service.info()["threads_why"]
    crowd.more(6)
    tree.quota(None, level="pod")
    tree.quota(2)
    follows(service, 2)
    crowd.more(6)
    tree.quota(0.5)
    follows(service, 1)
    crowd.more(6)
    tree.quota(None)
    follows(service, before)
    crowd.more(3)
    all_equal(crowd.stop())
    assert service.metrics().value("smallmind_engine_allocations_total") == 0
    assert len(service.logged("the machine gives", 4)) == 4


@two_cores
def test_a_start_under_a_quota_leaves_room_for_more(serve, tree):
    tree.quota(0.5)
    service = serve("--cgroup-root", tree.folder)
    assert threads_of(service) == 1
    assert service.info()["machine"]["threads_most"] >= 2
    crowd = Crowd(service)
    tree.quota(2)
    follows(service, 2)
    crowd.more(6)
    all_equal(crowd.stop())


@two_cores
def test_threads_that_were_asked_for_stay(serve, tree):
    service = serve("--cgroup-root", tree.folder, "--threads", 2)
    tree.quota(1)
    poll("the quota is seen", lambda: service.info()["machine"]["cpu_quota"] == 1)
    assert threads_of(service) == 2
    assert service.info()["machine"]["threads_most"] == 2


@two_cores
def test_threads_follow_the_affinity_of_the_process(serve):
    service = serve("--workers", 1)
    before = os.sched_getaffinity(service.pid)
    crowd = Crowd(service)
    one = {min(before)}
    os.sched_setaffinity(service.pid, one)  # its first thread's alone
    follows(service, 1)
    masks = service.of_threads(os.sched_getaffinity)
    assert all(mask == one for mask in masks.values())
    crowd.more(6)
    os.sched_setaffinity(service.pid, before)
    follows(service, threads_of_cores(service))
    crowd.more(6)
    all_equal(crowd.stop())


def threads_of_cores(service):
    return poll("all cores", lambda: service.info()["machine"]["cores"] > 1
                and service.info()["machine"]["cores"])


def test_throttling_is_counted_from_the_start(serve, tree):
    tree.quota(0.5)
    tree.throttled(1000, 300, 20)  # before the service
    service = serve("--cgroup-root", tree.folder)
    poll("a first look", lambda: service.metrics().value("smallmind_cpu_limit_cores") == 0.5)
    assert service.metrics().value("smallmind_cpu_throttled_periods_total") == 0
    tree.throttled(1100, 340, 22.5)
    poll("throttling", lambda: service.metrics().value("smallmind_cpu_periods_total") == 100)
    metrics = service.metrics()
    assert metrics.value("smallmind_cpu_throttled_periods_total") == 40
    assert metrics.value("smallmind_cpu_throttled_seconds_total") == 2.5


@two_cores
def test_the_systems_own_groups_are_followed(serve, cpu_group):
    """A running service is moved into a group of this machine, whose quota is then halved."""
    service = serve()
    crowd = Crowd(service)
    crowd.more(3)
    cpu_group.quota(2)
    cpu_group.take(service.pid)
    poll("its group", lambda: service.info()["machine"]["cpu_quota"] == 2)
    assert threads_of(service) == 2
    cpu_group.quota(1)
    follows(service, 1)
    crowd.more(6)
    cpu_group.quota(0.5)
    poll("half a core", lambda: service.metrics().value("smallmind_cpu_limit_cores") == 0.5)
    poll("throttling", lambda: service.metrics().value("smallmind_cpu_throttled_seconds_total") > 0)
    crowd.more(3)
    cpu_group.quota(None)
    follows(service, 2)
    all_equal(crowd.stop())


def fill_cache(service, n=24):
    """Different prompts, whose pages stay cached; returns what was answered."""
    return [service.answer(prompt=f"{i} {PROMPT} " * 12, max_tokens=30, seed=i,
                           ignore_eos=True)["text"] for i in range(n)]


def given_back(service):
    return service.metrics().value("smallmind_kv_given_back_bytes_total")


def test_cached_prefixes_are_given_back_where_memory_is_short(serve, tree):
    tree.memory(high=1 << 30, most=1 << 31, current=100 << 20)
    service = serve("--cgroup-root", tree.folder)
    texts = fill_cache(service)
    before = service.metrics()
    assert before.value("smallmind_kv_given_back_bytes_total") == 0
    cached = before.value("smallmind_kv_pages", state="cached")
    assert cached > 0
    tree.memory(high=1 << 30, most=1 << 31, current=1040 << 20, level="pod")
    poll("memory given back", lambda: given_back(service) > 0)
    assert service.metrics().value("smallmind_kv_pages", state="cached") < cached
    assert fill_cache(service) == texts  # computed again where it must be
    tree.memory(level="pod")
    assert fill_cache(service) == texts
    assert service.metrics().value("smallmind_engine_allocations_total") == 0
    assert service.logged("memory is short")


def test_a_hard_limit_that_is_reached_still_serves_with_what_is_there(serve, tree):
    tree.memory(most=1 << 30, current=1000 << 20)
    service = serve("--cgroup-root", tree.folder)
    texts = fill_cache(service)
    assert fill_cache(service) == texts


def test_pressure_on_memory_is_felt(serve, tree):
    tree.memory()
    service = serve("--cgroup-root", tree.folder)
    fill_cache(service)
    tree.group("memory.pressure", "some avg10=35.00 avg60=0.00 avg300=0.00 total=1\n")
    poll("memory given back", lambda: given_back(service) > 0)


@pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer's memory is its own")
def test_the_systems_own_memory_groups_are_followed(serve):
    """A service whose soft limit falls below what it uses keeps its weights and little more."""
    group = Group("memory")
    try:
        service = serve("--kv-memory", "400M", preexec_fn=group.enter)
        texts = fill_cache(service, 40)
        info = service.info()["machine"]
        assert info["memory_soft_limit_bytes"] is None
        used = int(group.read("memory.usage_in_bytes"))
        group.set("memory.soft_limit_in_bytes", used - (2 << 20))
        poll("its soft limit", lambda: service.info()["machine"]["memory_soft_limit_bytes"])
        poll("memory given back", lambda: given_back(service) > 0)
        poll("less memory", lambda: int(group.read("memory.usage_in_bytes")) < used)
        assert fill_cache(service, 40) == texts
        service.stop()
    finally:
        group.remove()
