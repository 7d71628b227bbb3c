"""OpenAI's client, unmodified, at whatever stands before replicas; and what it asks."""
import pytest

from service import LIMIT

openai = pytest.importorskip("openai", reason="openai is not installed (make test-cluster does it)")


class Asking:
    def __init__(self, port, host=None):
        """host: another Host header than the port's own."""
        self.port = port
        # Nothing but what is tested may send a request again.
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none",
                                    max_retries=0, timeout=4 * LIMIT,
                                    default_headers={"Host": host} if host else None)

    def complete(self, body):
        """A completion's text, in one piece or as the pieces of a stream. A stream that is cut is
        seen to be cut, and asked for again: its text so far is the beginning of the whole one."""
        if not body.get("stream"):
            return self.client.completions.create(**body).choices[0].text
        begun = ""
        for _ in range(3):
            text, ended = self.read_stream(body)
            assert text.startswith(begun) or begun.startswith(text), (begun, text)
            if ended:
                return text
            begun = max(begun, text, key=len)
        raise AssertionError(f"cut three times: {begun!r}")

    def read_stream(self, body):
        """Its text, and whether it came to its end."""
        text, ended = "", False
        with self.client.completions.create(**body) as stream:
            try:
                for event in stream:
                    for choice in event.choices:
                        text += choice.text
                        ended = ended or choice.finish_reason is not None
            except (openai.APIError, OSError) as error:
                assert not ended, error
            except Exception as error:  # of the HTTP library below the client, whichever it is
                assert "httpx" in type(error).__module__ or "httpcore" in type(error).__module__, \
                    error
        return text, ended


def completion(i, **fields):
    return dict({"model": "smallmind-tiny", "prompt": f"Once upon a time, number {i % 20}",
                 "seed": i, "max_tokens": 24, "temperature": 0.8}, **fields)


def whole_text(service, body):
    answer = service.post("/v1/completions", {k: v for k, v in body.items() if k != "stream"})
    return answer.json()["choices"][0]["text"]


def judge(results, texts):
    wrong = [(i, r, text) for i, (r, text) in enumerate(zip(results, texts)) if r != text]
    assert not wrong, f"{len(wrong)} of {len(texts)}: {wrong[:2]}"
