"""The image, and what it stands on: a base made by debootstrap (once; its image is kept in
build/docker-test), so that no registry is asked.

SMALLMIND_SUITE: the release of Debian, such as bookworm.
"""
import os
import shutil
import subprocess
import tempfile

from daemon import PLACE, ROOT

SUITE = os.environ.get("SMALLMIND_SUITE", "bookworm")
IMAGE, BASE = "smallmind:test", f"smallmind-base:{SUITE}"
LOCKED = ["--cpus", "0.5", "--memory", "512m", "--read-only", "--cap-drop", "ALL",
          "--security-opt", "no-new-privileges"]


def make_base(docker):
    if docker.try_run("image", "inspect", BASE).returncode == 0:
        return
    folder = tempfile.mkdtemp(prefix=f"{SUITE}.", dir=PLACE)
    try:
        # Its own mounts end with it, too.
        subprocess.run(["unshare", "--mount", "debootstrap", "--variant=minbase", SUITE, folder],
                       check=True, capture_output=True, timeout=1800)
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
            docker.run("import", "-", BASE, stdin=tar.stdout)
    finally:
        shutil.rmtree(folder)


def build(docker):
    """The image of docker/Dockerfile: its name."""
    make_base(docker)
    words = ["--build-arg", f"BASE={BASE}", "--build-arg", f"BUILD_BASE={BASE}",
             "--network", "host", "--file", ROOT / "docker" / "Dockerfile"]
    # The stage where it is built has a name, so that its packages need not be fetched again.
    docker.run("build", *words, "--target", "build", "--tag", f"{IMAGE}-build", ROOT, timeout=7200)
    docker.run("build", *words, "--tag", IMAGE, ROOT, timeout=7200)
    docker.run("image", "prune", "--force")  # those before them
    return IMAGE
