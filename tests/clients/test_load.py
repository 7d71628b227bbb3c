"""llmeter, a load client of others' making, against the service: clients that each ask again as
soon as their answer is whole, streamed and not."""
import asyncio

import pytest
from llmeter.endpoints import OpenAICompletionEndpoint, OpenAICompletionStreamEndpoint
from llmeter.runner import Runner

CLIENTS, EACH, TOKENS = 8, 4, 12


@pytest.mark.parametrize("kind", [OpenAICompletionStreamEndpoint, OpenAICompletionEndpoint])
def test_all_are_answered_and_counted(service, kind):
    endpoint = kind(model_id="tiny", base_url=f"http://{service.host}/v1", api_key="none")
    payload = kind.create_payload("Tell me a story of a cat.", max_tokens=TOKENS)
    result = asyncio.run(Runner(endpoint).run(
        payload={**payload, "extra_body": {"ignore_eos": True}}, clients=CLIENTS,
        n_requests=EACH, disable_per_client_progress_bar=True,
        disable_clients_progress_bar=True))
    stats = result.stats
    assert result.total_requests == CLIENTS * EACH == len(result.responses)
    assert stats["failed_requests"] == 0, [r.error for r in result.responses if r.error]
    assert stats["total_output_tokens"] == CLIENTS * EACH * TOKENS
    assert all(r.response_text and r.num_tokens_input for r in result.responses)
    if kind is OpenAICompletionStreamEndpoint:
        assert all(0 < r.time_to_first_token <= r.time_to_last_token for r in result.responses)
