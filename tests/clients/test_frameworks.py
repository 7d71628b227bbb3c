"""langchain-openai and litellm, as their documentation has them used."""
import litellm
import pytest
from langchain_openai import ChatOpenAI, OpenAI

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


def test_litellm_text_completions(url):
    fields = dict(model="text-completion-openai/tiny", api_base=f"{url}/v1", api_key="none",
                  prompt="Once upon a time", temperature=0, max_tokens=8)
    answer = litellm.text_completion(**fields)
    assert answer.choices[0].text and answer.usage.completion_tokens == 8
