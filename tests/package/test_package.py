"""The Debian package on bare systems: `make test-package`, as root.

A folder made by debootstrap is the system (kept in build/package-test for the next run): the
package is installed there with apt, its unit's ExecStart is run as its user, and it is purged. No
systemd runs there, so that the maintainer scripts are seen to bear that. A package belongs to the
release that it was made on, whose libraries it names: for another release it is made there first,
by `make package` from this tree's files, in a system of its own.

SMALLMIND_DEB      the package
SMALLMIND_SUITE    the release that it was built on, such as bookworm
SMALLMIND_SUITES   the releases to test, separated by spaces (default: bookworm trixie)
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEB = pathlib.Path(os.environ["SMALLMIND_DEB"])
HOME_SUITE = os.environ["SMALLMIND_SUITE"]
SUITES = os.environ.get("SMALLMIND_SUITES", "bookworm trixie").split()
PLACE = ROOT / "build" / "package-test"
LEFT_OUT = ("./proc", "./sys", "./dev", "./tmp", "./var/log", "./var/cache/apt", "./var/lib/apt",
            "./var/lib/dpkg", "./var/cache/debconf", "./var/cache/ldconfig")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
               "LC_ALL": "C.UTF-8"}


def run(*command, timeout=900):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=timeout)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


class System:
    """A folder with a Debian in it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, **more):
        return run("chroot", str(self.folder), *command, **more)

    def apt(self, *words):
        return self.run("apt-get", "-q", "-y", "--no-install-recommends", *words)

    def files(self):
        """What is there, but for logs, caches and the package manager's own notes."""
        found = set()
        for folder, folders, names in os.walk(self.folder):
            here = "./" + os.path.relpath(folder, self.folder)
            here = "." if here == "./." else here
            folders[:] = [name for name in folders if f"{here}/{name}" not in LEFT_OUT]
            found.update(f"{here}/{name}" for name in folders + names)
        return found

    def read(self, path):
        return (self.folder / path).read_text()


def base_of(suite):
    """What debootstrap makes of a release; made once."""
    assert os.geteuid() == 0, "debootstrap and chroot need root"
    PLACE.mkdir(parents=True, exist_ok=True)
    base = PLACE / f"{suite}.base"
    if not (base / "etc" / "os-release").exists():
        shutil.rmtree(base, ignore_errors=True)
        made = PLACE / f"{suite}.made"
        shutil.rmtree(made, ignore_errors=True)
        run("debootstrap", "--variant=minbase", suite, str(made))
        made.rename(base)
    return base


@contextlib.contextmanager
def copy_of(base, name):
    """A system like the base, until the end."""
    fresh = PLACE / name
    shutil.rmtree(fresh, ignore_errors=True)
    run("cp", "-a", str(base), str(fresh))
    shutil.copy("/etc/resolv.conf", fresh / "etc" / "resolv.conf")
    run("mount", "-t", "proc", "proc", str(fresh / "proc"))
    try:
        system = System(fresh)
        system.apt("update")
        yield system
    finally:
        run("umount", str(fresh / "proc"))
        shutil.rmtree(fresh)


def make_there(suite):
    """The package as `make package` makes it on a fresh machine of that release."""
    with copy_of(base_of(suite), f"{suite}.maker") as system:
        source = system.folder / "source"
        source.mkdir()
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True,
                                check=True).stdout
        subprocess.run(["tar", "-C", str(ROOT), "--null", "-T", "-", "-cf",
                        str(system.folder / "source.tar")], input=listed, check=True)
        run("tar", "-C", str(source), "-xf", str(system.folder / "source.tar"))
        system.apt("install", "make")
        system.run("make", "-C", "/source", "package", timeout=3600)
        made, = (source / "build").glob("smallmind_*.deb")
        kept = PLACE / f"{suite}.deb"
        shutil.copy(made, kept)
        return kept


@pytest.fixture(scope="module", params=SUITES)
def suite(request):
    return request.param


@pytest.fixture(scope="module")
def deb(suite):
    return DEB if suite == HOME_SUITE else make_there(suite)


@pytest.fixture(scope="module")
def system(suite):
    with copy_of(base_of(suite), suite) as fresh:
        yield fresh


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def wait_for(what, condition):
    end = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return value


def serve_once(system):
    """The unit's ExecStart as its user, with the folders that systemd makes for it."""
    unit = system.read("usr/lib/systemd/system/smallmind.service")
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].split()
    system.run("install", "-d", "-o", "smallmind", "-g", "smallmind", "/run/smallmind",
               "/var/cache/smallmind")
    command = ["chroot", "--userspec=smallmind:smallmind", str(system.folder), *command,
               "--port", "0", "--port-file", "/run/smallmind/port"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)
    try:
        port_file = system.folder / "run" / "smallmind" / "port"
        port = int(wait_for("the port", lambda: port_file.exists() and port_file.read_text()))
        wait_for("ready", lambda: ask(port, "GET", "/readyz")[0] == 200)
        status, text = ask(port, "POST", "/generate", '{"prompt": "Once upon", "max_tokens": 8}')
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        return status, json.loads(text)
    finally:
        process.kill()
        process.communicate()


def test_lintian_says_nothing(suite, deb):
    """The release's own: what is right on one may be a fault on the next."""
    with copy_of(base_of(suite), f"{suite}.lintian") as system:
        system.apt("install", "lintian")
        shutil.copy(deb, system.folder / "tmp" / "smallmind.deb")
        said = system.run("lintian", "--allow-root", "--fail-on", "error,warning",
                          "/tmp/smallmind.deb")
        assert not said, said


def test_it_is_installed_serves_and_leaves_nothing(system, deb):
    before = system.files()
    users = system.read("etc/passwd"), system.read("etc/group")
    shutil.copy(deb, system.folder / "tmp" / "smallmind.deb")
    system.apt("install", "/tmp/smallmind.deb")
    assert "smallmind:" in system.read("etc/passwd")
    wanted = system.folder / "etc/systemd/system/multi-user.target.wants/smallmind.service"
    assert wanted.is_symlink()
    assert system.run("smallmind", "--version").startswith("smallmind ")
    status, answer = serve_once(system)
    assert status == 200 and len(answer["tokens"]) == 8

    # Settings that were changed survive an update, which asks nothing.
    settings = system.folder / "etc/smallmind/smallmind.ini"
    settings.write_text(settings.read_text() + "\n; mine\n")
    system.run("dpkg", "-i", "/tmp/smallmind.deb")
    assert settings.read_text().endswith("; mine\n")

    system.apt("remove", "smallmind")
    assert settings.exists() and not (system.folder / "usr/bin/smallmind").exists()
    system.apt("purge", "--autoremove", "smallmind")
    assert (system.read("etc/passwd"), system.read("etc/group")) == users
    shutil.rmtree(system.folder / "run" / "smallmind")  # systemd's, which ends with the service
    left = {path for path in system.files() - before if "smallmind" in path}
    assert not left, sorted(left)
