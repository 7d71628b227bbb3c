"""A models' folder of a test's own, and the server that its pulls ask. Fixtures for the tests of
pull and of what pull has got."""
import json

import pytest

import models
from pull_server import Server
from service import run_verb

REF = "hf:own/repo/sub/model-Q4_0.gguf"
PATH = "sub/model-Q4_0.gguf"


@pytest.fixture(scope="session")
def model():
    return models.fixture("llama256.Q4_0.gguf").read_bytes()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture
def other():
    one = Server()
    yield one
    one.close()


class Store:
    """Models' folder of one test, and the environment that leads to the server."""

    def __init__(self, folder, server):
        self.folder = folder
        self.env = {"XDG_CACHE_HOME": str(folder), "HOME": "/nonexistent", "HF_TOKEN": "",
                    "HF_ENDPOINT": server.url, "OLLAMA_ENDPOINT": server.url + "/",
                    "SMALLMIND_PULL_STALL_SECONDS": "1", "SMALLMIND_PULL_TRIES": "2"}

    def run(self, *args, **env):
        return run_verb(*args, env={**self.env, **env})

    def pull(self, ref=REF, **env):
        return self.run("pull", ref, **env)

    def refused(self, ref=REF, *words, code=1, left=False, **env):
        """Fails with each of the words in its one line; nothing is left, or a part is."""
        done = self.pull(ref, **env)
        text = done.stderr.decode()
        assert done.returncode == code and done.stdout == b"", done
        assert text.rstrip("\n").splitlines()[-1].startswith("smallmind: "), text
        assert all(word in text for word in words), text
        assert bool(self.files()) == left, self.files()
        return text

    def files(self):
        root = self.folder / "smallmind" / "models"
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir())

    def got(self, data, ref=REF, **env):
        done = self.pull(ref, **env)
        assert done.returncode == 0, done.stderr
        path = done.stdout.decode().rstrip("\n")
        assert open(path, "rb").read() == data
        assert [f for f in self.files() if ".part" in f] == []
        return done

    def listed(self):
        return json.loads(self.run("list", "--json").stdout)["models"]


@pytest.fixture
def store(tmp_path, server):
    return Store(tmp_path, server)
