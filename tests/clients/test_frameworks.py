"""langchain-openai and litellm, as their documentation has them used."""
import litellm
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI, OpenAI

import models

CHAT = [("system", "You tell stories."), ("human", "Hello!")]
MESSAGES = [{"role": "system", "content": "You tell stories."},
            {"role": "user", "content": "Hello!"}]


@pytest.fixture
def base(url):
    return {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}


def test_langchain_chats(base):
    model = ChatOpenAI(model="tiny", temperature=0, max_tokens=12, **base)
    answer = model.invoke(CHAT)
    assert answer.content and answer.usage_metadata["output_tokens"] <= 12
    assert answer.response_metadata["finish_reason"] in ("stop", "length")
    assert "".join(part.content for part in model.stream(CHAT)) == answer.content
    assert [one.content for one in model.batch([CHAT, CHAT])] == [answer.content] * 2


def test_langchain_completions(base):
    model = OpenAI(model="tiny", temperature=0, max_tokens=10, **base)
    text = model.invoke("Once upon a time")
    assert text and "".join(model.stream("Once upon a time")) == text


def test_litellm(url):
    fields = dict(model="openai/tiny", api_base=f"{url}/v1", api_key="none", messages=MESSAGES,
                  temperature=0, max_tokens=12, num_retries=0)
    answer = litellm.completion(**fields)
    text = answer.choices[0].message.content
    assert text and answer.usage.total_tokens > 12
    stream = litellm.completion(stream=True, **fields)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text
    fields["model"] = "openai/other"
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**fields)


def test_a_prompt_that_is_too_long_has_a_class_of_its_own(base, url):
    long = "a dog and a cat " * 300
    with pytest.raises(ContextOverflowError):
        ChatOpenAI(model="tiny", **base).invoke(long)
    for model, at in (("openai/tiny", f"{url}/v1"), ("anthropic/tiny", url)):
        with pytest.raises(litellm.ContextWindowExceededError):
            litellm.completion(model=model, api_base=at, api_key="none", num_retries=0,
                               messages=[{"role": "user", "content": long}])


def litellm_ask(url, provider, path, key, **more):
    return litellm.completion(model=f"{provider}/tiny", api_base=url + path, api_key=key,
                              messages=MESSAGES, max_tokens=4, num_retries=0, **more)


PROVIDERS = [("openai", "/v1"), ("hosted_vllm", "/v1"), ("anthropic", ""), ("ollama_chat", "")]


@pytest.mark.parametrize("provider, path", PROVIDERS)
def test_litellm_speaks_every_api(url, provider, path):
    answer = litellm_ask(url, provider, path, "none", temperature=0).choices[0].message.content
    stream = litellm_ask(url, provider, path, "none", temperature=0, stream=True)
    assert answer and "".join(c.choices[0].delta.content or "" for c in stream) == answer
    with pytest.raises(litellm.BadRequestError):
        litellm_ask(url, provider, path, "none", temperature=77)


@pytest.mark.parametrize("provider, path", PROVIDERS)
def test_a_wrong_key_and_a_full_queue_are_litellms_own_classes(serve, tmp_path, provider, path):
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    service = serve("--api-key-file", keys, "--chat-template", "chatml", "--max-batch", 1,
                    "--workers", 1, "--max-queue", 1, model=models.slow())
    url, right = f"http://{service.host}", {"Authorization": "Bearer right"}
    with pytest.raises(litellm.AuthenticationError):
        litellm_ask(url, provider, path, "wrong")
    with service.busy(right):
        with service.stream(right, prompt="Once", max_tokens=1900, ignore_eos=True):
            with pytest.raises(litellm.RateLimitError):
                litellm_ask(url, provider, path, "right")


def test_litellm_text_completions(url):
    fields = dict(model="text-completion-openai/tiny", api_base=f"{url}/v1", api_key="none",
                  prompt="Once upon a time", temperature=0, max_tokens=8)
    answer = litellm.text_completion(**fields)
    assert answer.choices[0].text and answer.usage.completion_tokens == 8
