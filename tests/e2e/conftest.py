"""End-to-end tests: the real program on a real port, judged by what its users can see.

Run with `python3 -m pytest tests/e2e`; service.py lists the environment variables.
"""
import json

import pytest

import models
import service as program
from profile_runs import profile
from service import Service


def pytest_configure(config):
    if not program.BINARY.is_file():
        pytest.exit(f"{program.BINARY} is missing: run `make` first, or set SMALLMIND_BIN", 2)


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
    started = []

    def start(*args, **kwargs):
        started.append(Service(*args, **kwargs))
        return started[-1]

    yield start
    try:
        for one in started:
            if one.is_running():
                one.stop()
    finally:
        for one in started:
            one.kill()


@pytest.fixture(scope="session")
def report():
    """The default profile."""
    return json.loads(profile("--json"))
