"""Manifests against the tools and schemas that read them, and the program that they start.

What a test cannot have (Helm, a Go module) is skipped with the reason. Run by
`make test-manifests`.
"""
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import rendering  # noqa: E402
import structure  # noqa: E402


def pytest_report_header():
    return [f"{name}: {rendering.program(name)}" for name in ("helm", "kustomize", "kubectl")]


@pytest.fixture(scope="session")
def helm():
    if rendering.program("helm") is None:
        pytest.skip("helm is not there, and its Go module could not be had")
    return rendering.helm


@pytest.fixture(scope="session")
def kustomize():
    if rendering.program("kustomize") is None and rendering.program("kubectl") is None:
        pytest.skip("neither kustomize nor kubectl is there, and no Go module could be had")
    return rendering.kustomize


@pytest.fixture(scope="session")
def schemas():
    return structure.definitions()
