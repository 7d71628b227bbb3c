"""The load client of bench/: that it counts what it says. Its cells and its table: tests/tools."""
import json
import subprocess

import pytest
from service import BINARY, SLOW


def load_client(service, *args):
    client = BINARY.parent / "http_load"
    if not client.is_file():
        pytest.skip("http_load is not built")
    command = [client, "--port", str(service.address[1]), *map(str, args)]
    done = subprocess.run(command, capture_output=True, timeout=120 * SLOW, check=True)
    return json.loads(done.stdout)


def test_the_load_client_counts_every_token(service):
    before = service.metrics().value("smallmind_generated_tokens_total")
    found = load_client(
        service, "--clients", 3, "--tokens", 16, "--seconds", 0.5 * SLOW, "--ids", 32
    )
    assert found["clients"] == 3 and found["errors"] == 0 and found["answers"] >= 3
    made = service.wait_until_idle().value("smallmind_generated_tokens_total")
    # Requests under way at the end are not all in its count.
    assert 16 * found["answers"] <= found["tokens"] <= made - before


def test_prompts_beside_streams_are_counted_apart(service):
    before = service.metrics().sum("smallmind_prompt_tokens_total")
    found = load_client(
        service, "--clients", 2, "--tokens", 64, "--answers", 8, "--beside", 100, "--pause", 0
    )
    assert found["errors"] == 0 and found["answers"] >= 8
    assert found["prompts"] >= 2 and found["prompt_ms_p50"] > 0
    assert 0 <= found["gap_beside_ms_p50"] <= found["gap_beside_ms_p99"]
    read = service.wait_until_idle().sum("smallmind_prompt_tokens_total") - before
    assert read >= 100 * found["prompts"]
