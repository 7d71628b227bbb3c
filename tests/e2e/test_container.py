"""The image's files, as far as they can be judged without Docker.

The tests in tests/docker build and run it.
"""
import json
import re
import shutil
import subprocess

import pytest

from service import BINARY, ROOT, run_verb, sanitizer

DOCKER = ROOT / "docker"


def instructions():
    """[(instruction, its words)] of the Dockerfile, stage by stage."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").split("\n")
    parts = [line.split(None, 1) for line in lines if line.strip()]
    stages = [[]]
    for name, words in parts:
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, words))
    return stages


def test_nothing_runs_in_the_image_but_the_program():
    last = instructions()[-1]
    assert "RUN" not in [name for name, _ in last], "what is built for another machine cannot run"
    told = dict(last)
    program = "/usr/local/bin/smallmind"
    assert json.loads(told["ENTRYPOINT"]) == [program] and json.loads(told["CMD"]) == ["serve"]
    assert re.search(r"CMD (\[.*\])$", told["HEALTHCHECK"])
    check = json.loads(re.search(r"CMD (\[.*\])$", told["HEALTHCHECK"])[1])
    assert check == [program, "check"]
    assert told["STOPSIGNAL"] == "SIGTERM" and told["EXPOSE"] == "8080"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", told["USER"]), "a number, and not root's"


def test_bases_are_arguments_and_pinned():
    stages = instructions()
    arguments = dict(words.split("=", 1) for name, words in stages[0] if name == "ARG")
    assert set(arguments) == {"BASE", "BUILD_BASE"}
    for image in arguments.values():
        assert ":" in image and not image.endswith(":latest")
    for stage in stages[1:]:
        used = stage[0][1].split()[0]
        assert used == "scratch" or re.fullmatch(r"\$\{(BASE|BUILD_BASE)\}", used)


def test_its_settings_are_the_programs():
    told = [words for name, words in instructions()[-1] if name == "ENV"]
    settings = dict(re.findall(r"(SMALLMIND_\w+)=(\S+)", " ".join(told)))
    done = run_verb("--print-config", env=settings)
    assert done.returncode == 0, done.stderr.decode()
    for name in settings:
        assert name.encode() in done.stdout, name


def test_what_is_copied_is_not_left_out():
    left_out = (ROOT / ".dockerignore").read_text().split("\n")
    assert not {"tools", "docker", "models", "LICENSE", "deploy", "config"} & set(left_out)
    for stage in instructions()[1:]:
        for name, words in stage:
            if name == "COPY" and not words.startswith("--from"):
                assert (ROOT / words.split()[0]).exists(), words


@pytest.mark.parametrize("arguments, said", [
    (["packages", "mips"], "ARCH is amd64 or arm64"), ([], "usage")])
def test_the_build_script_names_what_is_wrong(arguments, said):
    if shutil.which("dpkg") is None:
        pytest.skip("there is no dpkg")
    done = subprocess.run([DOCKER / "build.sh", *arguments], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and said in done.stderr


def test_the_list_of_the_images_contents(tmp_path):
    """image_root.py with this machine as build stage, for a base that has the C library alone."""
    if sanitizer() is not None:
        pytest.skip("an image has no sanitizer's libraries")
    for tool in ("dpkg-query", "readelf"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True,
                          check=True).stdout.strip()
    triplet = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}.get(arch)
    if triplet is None:
        pytest.skip(f"no images are made for {arch}")
    base, install, out = (tmp_path / name for name in ("base", "install", "out"))
    for folder in (base / "usr/lib" / triplet, base / "var/lib/dpkg", base / "etc",
                   install / "usr/local/bin"):
        folder.mkdir(parents=True)
    shutil.copy(BINARY, install / "usr/local/bin/smallmind")
    owned = subprocess.run(["dpkg", "-L", "libc6"], capture_output=True, text=True, check=True)
    for name in re.findall(r"/([^/\n]+\.so[.0-9]*)$", owned.stdout, re.MULTILINE):
        (base / "usr/lib" / triplet / name).touch()
    (base / "var/lib/dpkg/status").write_text(
        f"Package: libc6\nStatus: install ok installed\nArchitecture: {arch}\nSource: glibc (2.1)\n"
        "Version: 2:2.1+b1\n\nPackage: gone\nStatus: deinstall ok not-installed\nVersion: 1\n")
    (base / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    done = subprocess.run(
        ["/usr/bin/python3", DOCKER / "image_root.py", "--install", install, "--base", base,
         "--out", out], capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1700000000"})
    if "belongs to no package" in done.stderr:
        pytest.skip("the program's libraries are not the system's here")
    assert done.returncode == 0, done.stderr

    document = json.loads((out / "usr/share/doc/smallmind/sbom.spdx.json").read_text())
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    packages = {package["name"]: package for package in document["packages"]}
    assert "gone" not in packages and "smallmind-tiny" in packages
    locator = packages["libc6"]["externalRefs"][0]["referenceLocator"]
    assert locator == f"pkg:deb/debian/libc6@2%3A2.1%2Bb1?arch={arch}&distro=debian-12"
    folder = out / "usr/lib" / triplet
    assert not (folder / "libc.so.6").exists() and any(folder.glob("libuv.so.1"))
    for file in folder.iterdir():
        assert (folder / file.name).exists(), f"{file.name} leads nowhere"
    for entry in (out / "var/lib/dpkg/status.d").iterdir():
        assert entry.name in packages
        assert (out / "usr/share/doc" / entry.name / "copyright").is_file()
