"""Tests of the page in headless Chromium, against the real program and against a fake server.

`make test-page` brings Chromium and axe-core; SMALLMIND_BIN is the program (build/smallmind).
"""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import browser  # noqa: E402
import driver  # noqa: E402
from fake import Fake  # noqa: E402
from service import BINARY, Service  # noqa: E402


def pytest_configure(config):
    for path, what in ((BINARY, "run `make`"), (driver.AXE, "run `make test-page`")):
        if not path.is_file():
            pytest.exit(f"{path} is missing: {what}", 2)
    if browser.PATH is None:
        pytest.exit("there is no Chromium: run `make test-page`", 2)


@pytest.fixture(scope="session")
def the_service():
    service = Service("--chat-template", "chatml")
    yield service
    service.stop()


@pytest.fixture
def service(the_service):
    """The real program with its built-in model, and a template for chats."""
    return the_service


@pytest.fixture
def serve():
    """serve(*flags): a program of the test's own."""
    started = []

    def start(*flags):
        started.append(Service(*flags))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def fake(service):
    one = Fake(service)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def the_browser():
    one = driver.Page()
    yield one
    one.close()


@pytest.fixture
def page(the_browser):
    """A page in a browser that has seen nothing. Whatever a test does, the page must have met no
    error of its own, no bar of its policy, and have asked no other server."""
    the_browser.forget()
    yield the_browser
    the_browser.value("1")  # what is still to be read
    assert the_browser.errors == []
    assert the_browser.complaints == []
    outside = [
        one["url"]
        for one in the_browser.requests
        if not one["url"].startswith((the_browser.origin or "none", "about:", "blob:"))
    ]
    assert outside == []
