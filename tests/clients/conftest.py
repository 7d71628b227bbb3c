"""The official clients of other APIs, unmodified, against the real program: `make test-clients`."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import models  # noqa: E402 (found only now)
from service import Service, services  # noqa: E402

CHAT = ("--chat-template", "chatml", "--served-model-name", "tiny,gpt-4o-mini,tiny:latest",
        "--strict-model", "on")


@pytest.fixture(scope="session")
def service():
    """The built-in model, with a template that it knows nothing of: its chats are well-formed."""
    one = Service(*CHAT)
    yield one
    one.stop()
    models.remove_cache()


@pytest.fixture
def serve():
    """serve(*flags): a service of the test's own."""
    with services() as start:
        yield start


@pytest.fixture
def slow_service(serve):
    """Where a client leaves in the middle of an answer: the built-in model's is soon over."""
    return serve(*CHAT, model=models.slow())


@pytest.fixture
def url(service):
    return f"http://{service.host}"
