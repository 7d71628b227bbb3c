"""The daemon of a run, and its end: a run that is told to end takes it down, as one does that is
interrupted."""
import os
import signal

import pytest

import images
from daemon import Container, Daemon


def pytest_configure(config):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: pytest.exit(f"signal {got}", 128 + got))


@pytest.fixture(scope="session")
def docker():
    assert os.geteuid() == 0, "dockerd and debootstrap need root"
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def image(docker):
    return images.build(docker)


@pytest.fixture
def run(docker):
    started = []

    def run(image, *options, flags=()):
        started.append(Container(docker, image, *options, flags=flags))
        return started[-1]
    yield run
    for container in started:
        container.remove()


@pytest.fixture
def start(run, image):
    return lambda *options, flags=(): run(image, *options, flags=flags)
