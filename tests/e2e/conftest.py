"""End-to-end tests: the real program on a real port, judged by what its users can see.

Run with `python3 -m pytest tests/e2e`; service.py lists the environment variables. With
pytest-xdist, files run side by side (`-n 2 --dist loadfile`): every service has its own port and
folder. A test that is judged by its share of the machine is marked `whole_machine`, and has it.
"""
import fcntl
import json
import pathlib
import signal

import pytest

import models
import service as program
from profile_runs import profile
from service import Service, services


def pytest_configure(config):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's children would ignore it too
    if not program.BINARY.is_file():
        pytest.exit(f"{program.BINARY} is missing: run `make` first, or set SMALLMIND_BIN", 2)


@pytest.fixture(scope="session")
def turns(request, tmp_path_factory):
    """Two files whose locks the processes of one run share; None where there is one process."""
    if not hasattr(request.config, "workerinput"):
        yield None
        return
    folder = pathlib.Path(tmp_path_factory.getbasetemp()).parent  # of the whole run
    with open(folder / "gate", "w") as gate, open(folder / "machine", "w") as machine:
        yield gate, machine


@pytest.fixture(autouse=True)
def its_turn(request, turns):
    """Tests run beside each other, but for those that want the whole machine. Everyone passes the
    gate, so that who waits for the machine there does not wait for those who came later."""
    if turns is None:
        yield
        return
    gate, machine = turns
    alone = request.node.get_closest_marker("whole_machine") is not None
    fcntl.flock(gate, fcntl.LOCK_EX)
    fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    fcntl.flock(gate, fcntl.LOCK_UN)
    yield
    fcntl.flock(machine, fcntl.LOCK_UN)


@pytest.fixture(autouse=True)
def deadline(its_turn):
    """A test that waits for ever fails, at the place where it waits."""
    seconds = 10 * program.LIMIT

    def late(number, frame):
        raise TimeoutError(f"not done within {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


class Shared:
    """Services kept for many tests, one for each set of flags; a dead one is started anew."""

    def __init__(self):
        self.services = {}

    def get(self, *flags, model="builtin"):
        key = (str(model), *map(str, flags))
        found = self.services.get(key)
        if found is None or not found.is_running():
            found = self.services[key] = Service(*flags, model=model)
        return found

    def stop(self):
        errors = []
        for service in self.services.values():
            try:
                service.stop()
            except AssertionError as error:
                errors.append(str(error))
        assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def all_shared():
    services = Shared()
    yield services
    services.stop()
    models.remove_cache()


@pytest.fixture
def shared(all_shared):
    """shared(*flags, model=...): a running service that other tests may use too."""
    return all_shared.get


@pytest.fixture
def service(all_shared):
    """The service as it is without any flag, with the built-in model."""
    return all_shared.get()


@pytest.fixture
def serve():
    """serve(*flags, ...): a service of the test's own, stopped and checked at its end."""
    with services(stopped=True) as start:
        yield start


@pytest.fixture(scope="session")
def report():
    """The default profile."""
    return json.loads(profile("--json"))
