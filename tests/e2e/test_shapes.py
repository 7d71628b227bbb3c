"""Output with a shape: through every API, what is drawn at random is valid by its schema, grammar,
expression or list; a shape that cannot be held is refused by its field; the same text whole, in
events, alone and in company."""
import concurrent.futures
import json
import re

import gguf_edit
import models
import pytest

from service import run_verb

FLAGS = ("--chat-template", "chatml")
CHAT = [{"role": "user", "content": "Tell me of a dog."}]
PROMPT = "Once upon a time"
N = 300

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0,
                                                             "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["dog", "cat"]}, "maxItems": 2}},
    "required": ["name", "age"], "additionalProperties": False,
}  # fmt: skip
LACKING = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"},
                                                  "uniqueItems": True}}}
GBNF = 'root ::= ("ab" | "ba"){2,6} "."'
REGEX = r"[A-Z][a-z]{2,8} [0-9]{1,3}"
CHOICE = ["a dog", "a cat", "neither of them"]


def check(text, schema):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


# --- every API's way: its path, the body with a shape, the text of an answer and of its events ---

def chat_text(body):
    return body["choices"][0]["message"]["content"]


def chat_delta(event):
    return "".join(c["delta"].get("content") or "" for c in event["choices"])


def completion_text(body):
    return body["choices"][0]["text"]


def completion_delta(event):
    return "".join(c["text"] for c in event["choices"])


def message_text(body):
    return "".join(part["text"] for part in body["content"])


def message_delta(event):
    return event["delta"]["text"] if event["type"] == "content_block_delta" else ""


def response_text(body):
    return "".join(part["text"] for item in body["output"] for part in item["content"])


def response_delta(event):
    return event["delta"] if event["type"] == "response.output_text.delta" else ""


def tgi_delta(event):
    return event["token"]["text"] if not event["token"]["special"] else ""


def native(seed, **shape):
    return "/generate", dict(prompt=PROMPT, max_tokens=N, temperature=1, seed=seed, **shape)


def completion(seed, **shape):
    return "/v1/completions", dict(prompt=PROMPT, max_tokens=N, seed=seed, **shape)


def chat(seed, **shape):
    return "/v1/chat/completions", dict(messages=CHAT, max_tokens=N, seed=seed, **shape)


def responses(seed, **shape):
    return "/v1/responses", dict(input="Hello", max_output_tokens=N, seed=seed, **shape)


def message(seed, **shape):
    return "/v1/messages", dict(model="any", messages=CHAT, max_tokens=N, seed=seed, **shape)


def llama(seed, **shape):
    return "/completion", dict(prompt=PROMPT, n_predict=N, temperature=1, seed=seed, **shape)


def llama_chat(seed, **shape):
    return "/chat/completions", dict(messages=CHAT, max_tokens=N, temperature=1, seed=seed, **shape)


def ollama(seed, **shape):
    options = dict(num_predict=N, seed=seed, temperature=1)
    return "/api/generate", dict(model="any", prompt=PROMPT, options=options, **shape)


def ollama_chat(seed, **shape):
    options = dict(num_predict=N, seed=seed, temperature=1)
    return "/api/chat", dict(model="any", messages=CHAT, options=options, **shape)


def tgi(seed, **grammar):
    return "/generate", dict(inputs=PROMPT, parameters=dict(
        max_new_tokens=N, seed=seed, do_sample=True, grammar=grammar))


def named(**shape):
    return {"type": "json_schema", "json_schema": {"name": "person", "strict": True, **shape}}


def flat(schema):
    return {"type": "json_schema", "name": "person", "strict": True, "schema": schema}


TEXTS = {native: (lambda body: body["text"], lambda event: event["text"]),
         completion: (completion_text, completion_delta),
         chat: (chat_text, chat_delta),
         responses: (response_text, response_delta),
         message: (message_text, message_delta),
         llama: (lambda body: body["content"], lambda event: event["content"]),
         llama_chat: (chat_text, chat_delta),
         ollama: (lambda body: body["response"], lambda event: event["response"]),
         ollama_chat: (lambda body: body["message"]["content"],
                       lambda event: event["message"]["content"]),
         tgi: (lambda body: body["generated_text"], tgi_delta)}

SCHEMAS = [  # a way, how it is asked for a schema
    (native, lambda s: {"format": {"json_schema": s}}),
    (native, lambda s: {"format": {"json_schema": json.dumps(s)}}),
    (completion, lambda s: {"response_format": named(schema=s)}),
    (completion, lambda s: {"guided_json": s}),
    (completion, lambda s: {"guided_json": json.dumps(s)}),
    (completion, lambda s: {"structured_outputs": {"json": s}}),
    (chat, lambda s: {"response_format": named(schema=s)}),
    (chat, lambda s: {"response_format": {"type": "json_object", "schema": s}}),
    (chat, lambda s: {"structured_outputs": {"json": json.dumps(s)}}),
    (responses, lambda s: {"text": {"format": flat(s)}}),
    (message, lambda s: {"output_config": {"format": flat(s)}}),
    (message, lambda s: {"output_format": {"type": "json_schema", "schema": s}}),
    (llama, lambda s: {"json_schema": s}),
    (llama_chat, lambda s: {"response_format": {"type": "json_object", "schema": s}}),
    (llama_chat, lambda s: {"json_schema": s}),
    (ollama, lambda s: {"format": s}),
    (ollama_chat, lambda s: {"format": s}),
    (tgi, lambda s: {"type": "json", "value": s}),
    (tgi, lambda s: {"type": "json", "value": json.dumps(s)}),
    (tgi, lambda s: {"type": "json_schema", "value": {"name": "person", "schema": s}}),
]
OBJECTS = [
    (native, {"format": {"json_schema": {"type": "object"}}}),
    (completion, {"structured_outputs": {"json_object": True}}),
    (chat, {"response_format": {"type": "json_object"}}),
    (responses, {"text": {"format": {"type": "json_object"}}}),
    (llama_chat, {"response_format": {"type": "json_object"}}),
    (ollama, {"format": "json"}),
    (ollama_chat, {"format": "json"}),
]
OTHERS = [
    (native, {"format": {"grammar": GBNF}}, r"(ab|ba){2,6}\."),
    (native, {"format": {"regex": REGEX}}, REGEX),
    (native, {"format": {"choice": CHOICE}}, "|".join(CHOICE)),
    (completion, {"guided_grammar": GBNF}, r"(ab|ba){2,6}\."),
    (completion, {"guided_regex": REGEX}, REGEX),
    (completion, {"guided_choice": CHOICE}, "|".join(CHOICE)),
    (completion, {"grammar": GBNF}, r"(ab|ba){2,6}\."),
    (chat, {"structured_outputs": {"grammar": GBNF}}, r"(ab|ba){2,6}\."),
    (chat, {"structured_outputs": {"regex": REGEX}}, REGEX),
    (chat, {"structured_outputs": {"choice": CHOICE}}, "|".join(CHOICE)),
    (llama, {"grammar": GBNF}, r"(ab|ba){2,6}\."),
    (llama, {"grammar": "", "json_schema": {"const": "x"}}, '"x"'),
    (llama_chat, {"grammar": GBNF}, r"(ab|ba){2,6}\."),
    (tgi, {"type": "regex", "value": REGEX}, REGEX),
]


def ask(service, way, seed, **shape):
    path, body = way(seed, **shape)
    response = service.post(path, {**body, "stream": False})
    assert response.status == 200, response
    return TEXTS[way][0](response.json())


def events(service, way, seed, **shape):
    path, body = way(seed, **shape)
    response = service.post(path, {**body, "stream": True})
    assert response.status == 200, response
    lines = response.body.decode("utf-8").splitlines()
    data = [line[5:].strip() for line in lines if line.startswith("data:")] or lines
    return "".join(TEXTS[way][1](json.loads(one)) for one in data if one and one != "[DONE]")


def names(rows):
    return [f"{row[0].__name__}-{i}" for i, row in enumerate(rows)]


@pytest.mark.parametrize("way, shape", SCHEMAS, ids=names(SCHEMAS))
def test_texts_are_valid_by_their_schema(shared, way, shape):
    service = shared(*FLAGS)
    texts = [ask(service, way, seed, **shape(PERSON)) for seed in range(3)]
    for text in texts:
        check(text, PERSON)
    assert events(service, way, 1, **shape(PERSON)) == texts[1]


@pytest.mark.parametrize("way, shape", OBJECTS, ids=names(OBJECTS))
def test_any_object_is_an_object(shared, way, shape):
    found = [ask(shared(*FLAGS), way, seed, **shape) for seed in range(3)]
    for text in found:
        assert text.lstrip().startswith("{")
        assert len(text) > N or isinstance(json.loads(text), dict)


@pytest.mark.parametrize("way, shape, form", OTHERS, ids=names(OTHERS))
def test_texts_have_the_form_that_was_asked_for(shared, way, shape, form):
    service = shared(*FLAGS)
    texts = [ask(service, way, seed, **shape) for seed in range(3)]
    assert all(re.fullmatch(form, text) for text in texts), texts
    assert events(service, way, 1, **shape) == texts[1]


def test_a_model_of_noise_keeps_to_its_schema(shared):
    service = shared(model=models.small())
    for seed in range(20):
        answer = service.answer(prompt="x", max_tokens=N, temperature=1.5, seed=seed, top_k=0,
                                top_p=1, min_p=0, format={"json_schema": PERSON})
        assert answer["finish_reason"] == "stop"
        check(answer["text"], PERSON)


def test_company_changes_nothing(shared):
    service = shared(*FLAGS)
    shapes = [{"format": {"json_schema": PERSON}}, {"format": {"grammar": GBNF}}, {},
              {"format": {"regex": REGEX}}, {"format": {"choice": CHOICE}}]
    asked = [(seed, shapes[seed % len(shapes)]) for seed in range(15)]
    alone = [ask(service, native, seed, **shape) for seed, shape in asked]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        crowd = list(pool.map(lambda one: ask(service, native, one[0], **one[1]), asked))
    assert crowd == alone


def test_a_shape_is_compiled_once(serve):
    service = serve(*FLAGS)
    for way, shape in SCHEMAS[:8]:
        ask(service, way, 1, **shape(PERSON))
    metrics = service.metrics()
    assert metrics.value("smallmind_grammar_compiles_total") == 1
    assert metrics.value("smallmind_grammar_cache_hits_total") == 7
    assert metrics.value("smallmind_grammar_cache_bytes") > 1000
    assert metrics.value("smallmind_engine_allocations_total") == 0
    service.refusal(400, prompt="x", format={"json_schema": LACKING})
    assert service.metrics().value("smallmind_grammar_compiles_total") == 1


def test_a_cache_of_nothing_keeps_nothing(serve):
    service = serve("--grammar-cache", 0)
    texts = {service.answer(prompt=PROMPT, seed=3, format={"regex": REGEX})["text"]
             for _ in range(2)}
    assert len(texts) == 1
    metrics = service.metrics()
    assert metrics.value("smallmind_grammar_compiles_total") == 2
    assert metrics.value("smallmind_grammar_cache_bytes") == 0


# --- refusals ---

def refused(service, way, **shape):
    path, body = way(1, **shape)
    response = service.post(path, {**body, "stream": False})
    assert response.status == 400, response
    answer = response.json()
    error = answer["error"]
    return (error if isinstance(error, str) else error["message"]), error


@pytest.mark.parametrize("way, shape", SCHEMAS, ids=names(SCHEMAS))
def test_what_a_schema_lacks_is_named_with_its_field(shared, way, shape):
    asked = shape(LACKING)
    text, error = refused(shared(*FLAGS), way, **asked)
    assert '"uniqueItems"' in text
    field = "grammar" if way is tgi else next(iter(asked))
    assert field in text
    if way not in (tgi, ollama, ollama_chat, message):
        assert error["param"].split(".")[0] == field


@pytest.mark.parametrize("way, shape, words", [
    (native, {"format": 5}, "format must be an object"),
    (native, {"format": {}}, "one member"),
    (native, {"format": {"regex": "a", "choice": ["a"]}}, "one member"),
    (native, {"format": {"schema": {}}}, "one member"),
    (native, {"format": {"regex": 5}}, "format.regex must be a string"),
    (native, {"format": {"regex": "a("}}, "format.regex"),
    (native, {"format": {"regex": r"(a)\1"}}, "format.regex"),
    (native, {"format": {"grammar": "x ::="}}, "format.grammar"),
    (native, {"format": {"grammar": ""}}, "format.grammar"),
    (native, {"format": {"choice": []}}, "one or more strings"),
    (native, {"format": {"choice": ["a", 5]}}, "must hold strings"),
    (native, {"format": {"json_schema": 5}}, "must be a JSON Schema"),
    (native, {"format": {"json_schema": "{"}}, "format.json_schema"),
    (native, {"format": {"json_schema": {"type": "strin"}}}, 'type "strin"'),
    (native, {"format": {"json_schema": {"type": "string", "minLength": 5, "maxLength": 2}}},
     "format.json_schema"),
    (native, {"grammar": GBNF}, "format"),
    (chat, {"response_format": "json"}, "response_format must be an object"),
    (chat, {"response_format": {"type": "structural_tag"}}, "response_format.type"),
    (chat, {"response_format": {"type": "json_schema"}}, "schema is missing"),
    (chat, {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
     "response_format.json_schema.schema is missing"),
    (chat, {"response_format": {"type": "json_object"}, "guided_regex": "a"}, "both"),
    (chat, {"structured_outputs": {"json": {}, "regex": "a"}}, "both"),
    (chat, {"structured_outputs": {}}, "structured_outputs must have one of"),
    (chat, {"structured_outputs": {"regexp": "a"}}, "structured_outputs must have one of"),
    (chat, {"structured_outputs": {"regex": "a", "whitespace_pattern": " "}},
     "structured_outputs.whitespace_pattern"),
    (chat, {"grammar": GBNF, "json_schema": {}}, "both"),
    (completion, {"guided_choice": "a"}, "guided_choice must be an array"),
    (responses, {"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
    (message, {"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
    (llama, {"json_schema": {}, "grammar": GBNF}, "both"),
    (llama, {"json_schema": 5}, "json_schema must be a JSON Schema"),
    (ollama, {"format": "yaml"}, "format must be"),
    (ollama_chat, {"format": 5}, "format must be"),
    (tgi, {"type": "xml", "value": "x"}, "grammar.type"),
    (tgi, {"type": "json"}, "grammar.value is missing")])
def test_a_shape_that_is_none_is_refused(shared, way, shape, words):
    text, _ = refused(shared(*FLAGS), way, **shape)
    assert words in text, text


@pytest.mark.parametrize("flag, value, schema", [
    ("--grammar-states", 200, {"type": "array", "items": PERSON, "minItems": 40}),
    ("--grammar-depth", 10, {"type": "array", "items": {"type": "array", "items": {
        "type": "array", "items": {"type": "array", "items": PERSON}}}}),
    ("--grammar-memory", "1M", {"type": "string", "pattern": "^(a|b)*a(a|b){18}$"})])
def test_a_shape_beyond_a_limit_is_refused(serve, flag, value, schema):
    service = serve(flag, value)
    error = service.refusal(400, prompt="x", format={"json_schema": schema})
    assert error["param"] == "format" and error["code"] == "invalid_value"
    assert service.answer(prompt="x", format={"choice": ["a"]})["text"] == "a"


@pytest.mark.parametrize("way, shape", [
    (native, {"format": None}), (completion, {"response_format": {"type": "text"}}),
    (completion, {"guided_json": None, "guided_regex": None, "structured_outputs": None}),
    (chat, {"response_format": None, "grammar": ""}),
    (responses, {"text": {"format": {"type": "text"}}}),
    (message, {"output_config": {}}), (llama, {"grammar": "", "json_schema": None}),
    (ollama, {"format": ""}), (ollama_chat, {"format": None})])
def test_what_asks_for_no_shape_changes_nothing(shared, way, shape):
    service = shared(*FLAGS)
    assert ask(service, way, 5, **shape) == ask(service, way, 5)


def test_several_answers_each_have_the_shape(shared):
    response = shared().post("/v1/completions", dict(
        prompt=["one", "two"], n=3, max_tokens=N, seed=1, guided_json=PERSON))
    texts = [choice["text"] for choice in response.json()["choices"]]
    assert len(texts) == 6 and len(set(texts)) > 1
    for text in texts:
        check(text, PERSON)


def test_a_response_repeats_its_format(shared):
    format = {"type": "json_schema", "name": "p", "schema": PERSON, "strict": True}
    for asked in (format, {"type": "json_object"}, {"type": "text"}):
        path, body = responses(1, text={"format": asked})
        assert shared(*FLAGS).post(path, body).json()["text"]["format"] == asked
    path, body = responses(1)
    assert shared(*FLAGS).post(path, body).json()["text"]["format"] == {"type": "text"}


def test_count_of_a_chat_with_a_format_compiles_nothing(serve):
    service = serve(*FLAGS)
    body = dict(model="any", messages=CHAT, output_config={"format": flat(PERSON)})
    assert service.post("/v1/messages/count_tokens", body).json()["input_tokens"] > 0
    assert service.metrics().value("smallmind_grammar_compiles_total") == 0


# --- thoughts come before the shape ---

THINKS = """{% for m in messages %}<user>{{ m.content }}{% endfor %}<assistant>
{%- if thinking is defined and not thinking %}<think></think>{% endif %}
{%- if opened is defined and opened %}<think>{% endif %}{# </think> #}"""


def thinking(shared, folder):
    path = folder / "thinks.jinja"
    path.write_text(THINKS)
    return shared("--chat-template", path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("templates")


def thoughtful(service, seed, **fields):
    body = dict(messages=CHAT, seed=seed, structured_outputs={"regex": "[0-9]{3}"}, **fields)
    response = service.post("/v1/chat/completions", {"max_tokens": 60, **body})
    assert response.status == 200, response
    return response.json()["choices"][0]


def test_an_opened_thought_is_free_and_ends_before_the_shape(shared, folder):
    service = thinking(shared, folder)
    for seed in range(4):
        choice = thoughtful(service, seed, chat_template_kwargs={"opened": True})
        assert choice["finish_reason"] == "stop"
        assert re.fullmatch("[0-9]{3}", choice["message"]["content"])
        assert "</think>" not in choice["message"]["reasoning_content"]


def test_a_thought_may_come_but_need_not(shared, folder):
    service = thinking(shared, folder)
    for seed in range(4):
        choice = thoughtful(service, seed)
        assert re.fullmatch("[0-9]{3}", choice["message"]["content"])


def test_no_thought_comes_after_an_empty_one(shared, folder):
    service = thinking(shared, folder)
    for seed in range(4):
        choice = thoughtful(service, seed, chat_template_kwargs={"thinking": False})
        assert re.fullmatch("[0-9]{3}", choice["message"]["content"])
        assert not choice["message"].get("reasoning_content")


def test_with_reasoning_off_all_of_the_text_has_the_shape(serve, folder):
    (folder / "off.jinja").write_text(THINKS)
    service = serve("--chat-template", folder / "off.jinja", "--reasoning", "off")
    choice = thoughtful(service, 1, chat_template_kwargs={"opened": True})
    assert re.fullmatch("[0-9]{3}", choice["message"]["content"])


def test_tags_that_are_control_tokens_are_told_apart(serve, folder):
    model = folder / "tags.gguf"
    gguf_edit.with_token(models.small(), model, 2, "<think>")
    gguf_edit.with_token(model, model, 3, "</think>")
    (folder / "tags.jinja").write_text(THINKS)
    service = serve("--chat-template", folder / "tags.jinja", model=model)
    pieces = service.post("/tokenize", {"text": "</think>", "parse_special": True}).json()
    assert pieces["tokens"] == [3]
    for seed in range(4):
        opened = thoughtful(service, seed, chat_template_kwargs={"opened": True},
                            logit_bias={"3": 6})
        assert re.fullmatch("[0-9]{3}", opened["message"]["content"])
        assert "</think>" not in opened["message"].get("reasoning_content", "")
        begun = thoughtful(service, seed, logit_bias={"2": 100, "3": 6})
        assert re.fullmatch("[0-9]{3}", begun["message"]["content"])
        assert begun["message"]["reasoning_content"]


# --- few tokens ---

def test_texts_are_closed_within_their_tokens(shared):
    service = shared(model=models.small())
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {
        "type": "string"}}}, "required": ["a"], "additionalProperties": False}
    for limit in (20, 33, 64):
        for seed in range(6):
            answer = service.answer(prompt="x", max_tokens=limit, temperature=1, seed=seed,
                                    top_k=0, top_p=1, min_p=0, format={"json_schema": schema})
            assert answer["finish_reason"] == "stop", answer
            check(answer["text"], schema)


def test_what_does_not_fit_from_the_start_ends_with_length(service):
    answer = service.answer(prompt="x", max_tokens=3, format={"json_schema": PERSON})
    assert answer["finish_reason"] == "length" and len(answer["tokens"]) == 3


# --- ever deeper ---

def test_a_text_that_goes_ever_deeper_ends_alone(service):
    """What a bias drives down to the greatest depth ends there, and the next request is served."""
    def token(text):
        body = {"content": text, "add_special": False}
        return service.request("POST", "/tokenize", body).json()["tokens"][0]

    only = 'root ::= "a" root "b" | "c"'
    then = 'root ::= n [x-z]{900}\nn ::= "(" n ")" | "1"'
    for grammar, bias, status in [(only, [[token("c"), False], [token("a"), 100]], 400),
                                  (only, [[token("a"), 100]], 200),
                                  (then, [[token("("), 100]], 200),
                                  (then, [[token("("), 100], [token("1"), False]], 400)]:
        answer = service.request("POST", "/completion", {
            "prompt": "x", "n_predict": 508, "grammar": grammar, "logit_bias": bias})
        assert answer.status == status, answer.body
        assert status == 200 or "as deep as it may be" in answer.json()["error"]["message"]
        after = service.answer(prompt="x", max_tokens=3, ignore_eos=True)
        assert after["finish_reason"] == "length"


# --- the command line ---

def test_generate_keeps_to_its_flags(tmp_path):
    (tmp_path / "schema").write_text(json.dumps(PERSON))
    (tmp_path / "gbnf").write_text(GBNF)
    forms = [(("--grammar", tmp_path / "gbnf"), r"(ab|ba){2,6}\."), (("--regex", REGEX), REGEX),
             (("--choice", "yes,no", "--choice", "so"), "yes|no|so")]
    for flags, form in forms:
        done = run_verb("generate", "x", *flags, "--seed", 1)
        assert done.returncode == 0 and re.fullmatch(form, done.stdout.decode()), done
    done = run_verb("generate", "x", "--schema", tmp_path / "schema", "--seed", 1,
                    "--max-tokens", N, "--temperature", 1)
    check(done.stdout.decode(), PERSON)


def test_generate_draws_what_a_request_draws(service, tmp_path):
    (tmp_path / "schema").write_text(json.dumps(PERSON))
    done = run_verb("generate", PROMPT, "--schema", tmp_path / "schema", "--seed", 4,
                    "--max-tokens", N)
    answer = service.answer(prompt=PROMPT, format={"json_schema": PERSON}, seed=4, max_tokens=N)
    assert done.stdout.decode() == answer["text"]


@pytest.mark.parametrize("flags, words", [
    (("--schema", "missing.json"), "missing.json"), (("--schema", "CUT"), "cut.json: not JSON"),
    (("--regex", "("), "--regex"),
    (("--regex", "a", "--choice", "b"), "both"), (("--schema", "FILE"), '"uniqueItems"'),
    (("--grammar", "FILE"), "--grammar")])
def test_generate_says_what_is_wrong_with_a_shape(tmp_path, flags, words):
    (tmp_path / "file").write_text(json.dumps(LACKING))
    (tmp_path / "cut.json").write_text('{"type": "object", ')
    files = {"FILE": tmp_path / "file", "CUT": tmp_path / "cut.json"}
    flags = [files.get(flag, flag) for flag in flags]
    done = run_verb("generate", "x", *flags, cwd=tmp_path)
    assert done.returncode in (1, 2) and words in done.stderr.decode(), done
    assert done.stdout == b""
