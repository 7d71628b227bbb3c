"""Every operation of openapi.yaml against the real program, by schemathesis: `make test-api`."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from service import Service  # noqa: E402 (found only now)


def test_the_service_is_as_its_reference_says():
    examples = os.environ.get("SMALLMIND_EXAMPLES", "25")
    service = Service("--chat-template", "chatml", "--max-output-tokens", 40)
    try:
        done = subprocess.run(
            [str(pathlib.Path(sys.executable).parent / "schemathesis"),
             "--config-file", str(HERE / "schemathesis.toml"), "run", str(ROOT / "openapi.yaml"),
             "--url", f"http://{service.host}", "--max-examples", examples, "--seed", "1",
             "--phases", "examples,coverage,fuzzing"], capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        service.stop()
    finally:
        service.kill()
