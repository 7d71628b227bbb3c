"""Traces at a real OpenTelemetry collector, and by the official messages: `make test-traces`."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from service import services  # noqa: E402 (found only now)


@pytest.fixture
def serve():
    """serve(*flags): a service of the test's own."""
    with services() as start:
        yield start
