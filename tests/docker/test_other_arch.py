"""The image for another architecture: cross-compiled, and run by an emulator in a container."""
import json
import pathlib

import pytest

import images
from asking import ask, ready
from daemon import wait_for

OTHERS = {"amd64": ("arm64", "aarch64"), "arm64": ("amd64", "x86_64")}
ASKED = {"prompt": "Once upon a time", "max_tokens": 24, "seed": 7}


@pytest.fixture(scope="module")
def other(docker):
    """(its image, options that have an emulator run it)"""
    arch, machine = OTHERS[images.own_arch()]
    emulator = pathlib.Path(f"/usr/bin/qemu-{machine}-static")
    assert emulator.exists(), "the package qemu-user-static is missing"
    image = images.build(docker, arch)
    assert docker.inspect(image)["Architecture"] == arch
    return image, ["--volume", f"{emulator}:/emulator:ro", "--entrypoint", "/emulator"]


def test_it_answers_with_the_same_bytes(docker, run, image, other):
    image_there, emulated = other
    here = run(image)
    there = run(image_there, *images.LOCKED[2:], "--no-healthcheck", *emulated,
                flags=["/usr/local/bin/smallmind", "serve"])
    answers = []
    for container in (here, there):
        wait_for("ready", lambda one=container: ready(one))
        status, text = ask(container, "/generate", ASKED)
        assert status == 200, text
        answers.append(json.loads(text))
    assert len(answers[0]["tokens"]) == 24
    assert answers[0]["tokens"] == answers[1]["tokens"]
    assert answers[0]["text"] == answers[1]["text"]
    # What its HEALTHCHECK runs.
    docker.run("exec", there.name, "/emulator", "/usr/local/bin/smallmind", "check")
    docker.run("stop", "--time", "60", there.name)
    assert there.state()["ExitCode"] == 0, there.logs()


def test_its_contents_are_those_of_its_architecture(docker, run, other):
    image, emulated = other
    container = run(image, "--no-healthcheck", *emulated, flags=["/usr/local/bin/smallmind"])
    folder = images.PLACE / "other.spdx.json"
    docker.run("cp", f"{container.name}:/usr/share/doc/smallmind/sbom.spdx.json", folder)
    document = json.loads(folder.read_text())
    arch = docker.inspect(image)["Architecture"]
    assert document["name"].endswith(f"-{arch}")
    locators = [ref["referenceLocator"] for package in document["packages"]
                for ref in package.get("externalRefs", ())]
    assert any("/libuv1@" in one for one in locators)
    assert all(f"arch={arch}" in one or "arch=all" in one for one in locators), locators
