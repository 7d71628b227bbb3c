"""The served model's names, and those that a request may use."""
import json
import pathlib
import shutil

import pytest

from service import run_verb
from test_generate import STORY


def test_the_built_in_model_has_its_own_name(service):
    assert service.answer(prompt=STORY, max_tokens=1)["model"] == "smallmind-tiny"
    assert service.info()["model"]["name"] == "smallmind-tiny"


def test_a_files_name_is_its_models(serve, tmp_path):
    source = pathlib.Path(__file__).parents[2] / "models" / "smallmind-tiny.gguf"
    for file, name in [("My Model.Q8_0.gguf", "My Model.Q8_0"), ("big-00001-of-00001.gguf", "big")]:
        shutil.copy(source, tmp_path / file)
        service = serve(model=str(tmp_path / file))
        assert service.answer(prompt=STORY, max_tokens=1)["model"] == name
        assert f'smallmind_model_info{{model="{name}"' in service.get("/metrics").body.decode()
        service.stop()


def test_served_names_are_what_answers_and_info_say(serve):
    service = serve("--served-model-name", "mine,gpt-4o")
    assert service.answer(prompt=STORY, max_tokens=1, model="whatever")["model"] == "mine"
    model = service.info()["model"]
    assert (model["name"], model["aliases"]) == ("mine", ["gpt-4o"])
    service.stop()


def test_where_it_matters_another_model_is_not_found(serve):
    service = serve("--served-model-name", "mine,gpt-4o", "--strict-model", "on")
    for name in ["mine", "gpt-4o", None]:
        assert service.answer(prompt=STORY, max_tokens=1, model=name)["model"] == "mine"
    for name in ["Mine", "gpt-4", "mine,gpt-4o", "x" * 200]:
        error = service.refusal(404, prompt=STORY, model=name)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "'mine'" in error["message"]
    service.stop()


@pytest.mark.parametrize("names", [",", "a,,b", "a,", ",".join("abcdefghijklmnopq")])
def test_wrong_names_are_refused_at_start(names):
    found = run_verb("serve", "--served-model-name", names, "--port", "0")
    assert found.returncode == 2
    assert b"--served-model-name" in found.stderr and b"listening" not in found.stderr


def test_a_bos_in_the_text_is_not_added_once_more(service):
    def ids(**fields):
        return json.loads(service.post("/tokenize", fields).body)["tokens"]

    plain = ids(text="a", add_special=True)
    bos = json.loads(service.post("/detokenize", {"tokens": plain[:1]}).body)["text"]
    both = ids(text=bos + "a", add_special=True, parse_special=True)
    assert both.count(plain[0]) == 1
    # As text it is text, and the one that is added is the only one.
    assert ids(text=bos + "a", add_special=True).count(plain[0]) == 1
    n = service.answer(prompt=bos + "a", parse_special=True, max_tokens=1)["usage"]["prompt_tokens"]
    assert n == len(both)


def test_without_add_special_a_prompt_is_its_text_alone(service):
    n = service.answer(prompt="a", max_tokens=1)["usage"]["prompt_tokens"]
    assert service.answer(prompt="a", max_tokens=1, add_special=False)["usage"]["prompt_tokens"] \
        == n - 1


def test_a_stop_id_ends_the_text_like_an_end_of_sequence(service):
    whole = service.answer(prompt=STORY, max_tokens=16, temperature=0)
    stop = whole["tokens"][5]
    first = whole["tokens"].index(stop)
    cut = service.answer(prompt=STORY, max_tokens=16, temperature=0, stop_token_ids=[stop])
    assert cut["tokens"] == whole["tokens"][:first]
    assert cut["finish_reason"] == "stop"
    assert cut["usage"]["completion_tokens"] == first + 1


@pytest.mark.parametrize("other, name", [
    ("inputs", "prompt"), ("text", "prompt"), ("n_predict", "max_tokens"),
    ("max_new_tokens", "max_tokens"), ("stop_sequences", "stop"), ("SEED", "seed")])
def test_another_programs_name_is_answered_with_ours(service, other, name):
    assert f"'{name}'" in service.refusal(400, prompt=STORY, **{other: 1})["message"]


@pytest.mark.parametrize("other", ["bogus", "messages", "x", "tokens"])
def test_a_name_that_is_far_from_all_gets_no_hint(service, other):
    assert service.refusal(400, prompt=STORY, **{other: 1})["message"] == f"unknown field '{other}'"


@pytest.mark.parametrize("seed", [str(2**64), " 7", "+7", "", "7 ", "0x7", "1.0"])
def test_a_seed_that_is_none_is_quoted_with_the_range(service, seed):
    message = service.refusal(400, prompt=STORY, seed=seed)["message"]
    assert "18446744073709551615" in message
    assert message.endswith(f'not "{seed}"')


def test_json_bodies_end_with_a_newline(service):
    for answer in [service.get("/info"), service.get("/health"), service.get("/nowhere"),
                   service.post("/tokenize", {"text": "a"}), service.post("/tokenize", {}),
                   service.post("/detokenize", {"tokens": [5]}),
                   service.generate(prompt=STORY, max_tokens=1)]:
        assert answer.body.endswith(b"}\n"), answer.body
