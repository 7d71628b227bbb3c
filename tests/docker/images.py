"""The image, and what it stands on: bases made by debootstrap (once; their images are kept in
build/docker-test), so that no registry is asked.

SMALLMIND_SUITE: the release of Debian, such as bookworm.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from daemon import PLACE, ROOT

SUITE = os.environ.get("SMALLMIND_SUITE", "bookworm")
IMAGE, BASE = "smallmind:test", f"smallmind-base:{SUITE}"
LOCKED = ["--cpus", "0.5", "--memory", "512m", "--read-only", "--cap-drop", "ALL",
          "--security-opt", "no-new-privileges"]


def own_arch():
    return subprocess.run(["dpkg", "--print-architecture"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def make_base(docker, arch=None):
    """For another architecture: its files, unpacked and not set up, as nothing of it runs here."""
    name = f"smallmind-base:{SUITE}-{arch}" if arch else BASE
    if docker.try_run("image", "inspect", name).returncode == 0:
        return name
    other = ["--arch", arch, "--foreign"] if arch else []
    folder = tempfile.mkdtemp(prefix=f"{SUITE}.", dir=PLACE)
    try:
        # Its own mounts end with it, too.
        subprocess.run(["unshare", "--mount", "debootstrap", "--variant=minbase", *other, SUITE,
                        folder], check=True, capture_output=True, timeout=1800)
        shutil.rmtree(f"{folder}/debootstrap", ignore_errors=True)
        load(docker, folder, name, arch or own_arch())
    finally:
        shutil.rmtree(folder)
    return name


def load(docker, folder, name, arch):
    """The folder as an image; `docker import` would say that it is for this machine."""
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        layer, place = f"{place}/layer.tar", pathlib.Path(place)
        subprocess.run(["tar", "-C", folder, "-cf", layer, "."], check=True)
        digest = subprocess.run(["sha256sum", layer], check=True, stdout=subprocess.PIPE,
                                text=True).stdout.split()[0]
        config = {"architecture": arch, "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}}
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        (place / "config.json").write_text(json.dumps(config))
        (place / "manifest.json").write_text(json.dumps(manifest))
        with subprocess.Popen(["tar", "-C", place, "-c", "manifest.json", "config.json",
                               "layer.tar"], stdout=subprocess.PIPE) as tar:
            docker.run("load", stdin=tar.stdout)


def build(docker, arch=None):
    """The image of docker/Dockerfile; for another architecture than this machine's: its name."""
    tag = f"smallmind:test-{arch}" if arch else IMAGE
    arguments = [f"BASE={make_base(docker, arch)}", f"BUILD_BASE={make_base(docker)}"]
    arguments += [f"ARCH={arch}"] if arch else []
    words = [word for argument in arguments for word in ("--build-arg", argument)]
    words += ["--network", "host", "--file", ROOT / "docker" / "Dockerfile"]
    # The stage where it is built has a name, so that its packages need not be fetched again.
    docker.run("build", *words, "--target", "build", "--tag", f"{tag}-build", ROOT, timeout=7200)
    docker.run("build", *words, "--tag", tag, ROOT, timeout=7200)
    docker.run("image", "prune", "--force")  # those before them
    return tag
