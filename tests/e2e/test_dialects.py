"""One arithmetic in every language: a request's text is the same through each API, alone and in a
batch of many that speak different ones."""
import concurrent.futures

import pytest

PROMPTS = ["Once upon a time", "The dog", "Lily had", "One day"]
TOKENS = 48


def native(service, prompt, **more):
    return service.answer(prompt=prompt, max_tokens=TOKENS, **more)["text"]


def openai(service, prompt, **more):
    body = {"prompt": prompt, "max_tokens": TOKENS, **more}
    return service.post("/v1/completions", body).json()["choices"][0]["text"]


def ollama(service, prompt, **more):
    body = {"prompt": prompt, "raw": True, "stream": False,
            "options": {"num_predict": TOKENS, **more}}
    return service.post("/api/generate", body).json()["response"]


def tgi(service, prompt, **more):
    body = {"inputs": prompt, "parameters": {"max_new_tokens": TOKENS, **more}}
    return service.post("/", body).json()[0]["generated_text"]


DIALECTS = [native, openai, ollama, tgi]


@pytest.mark.parametrize("fields", [
    {"temperature": 0}, {"temperature": 1.1, "top_p": 0.9, "top_k": 30, "seed": 7}])
def test_one_text_through_every_dialect_alone_and_together(service, fields):
    def run(dialect, prompt):
        more = dict(fields) if dialect is tgi else {**fields, "min_p": 0}
        if dialect is tgi and fields["temperature"] == 0:
            more = {}  # greedy, as that API says it
        return dialect(service, prompt, **more)

    alone = {prompt: {run(dialect, prompt) for dialect in DIALECTS} for prompt in PROMPTS}
    assert all(len(texts) == 1 for texts in alone.values()), alone
    work = [(dialect, prompt) for dialect in DIALECTS for prompt in PROMPTS] * 2
    with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
        together = list(pool.map(lambda item: run(*item), work))
    for (_, prompt), text in zip(work, together):
        assert {text} == alone[prompt]
