"""Chat templates render byte for byte as Python's jinja2 renders them, and refuse where it does."""
import json
import pathlib
import subprocess

import chat_cases
import pytest
from gguf_edit import with_strings
from service import BINARY

ROOT = pathlib.Path(__file__).resolve().parents[2]
RENDER = BINARY.parent / "jinja_render"
SHARED = sorted((ROOT / "../shared/fixtures/templates").glob("*.jinja"))
OWN = sorted((ROOT / "tests/fixtures/templates").glob("*.jinja"))
CASES = 300

FILES = ROOT / "tests" / "fixtures" / "templates"
BUILTIN = ROOT / "models" / "smallmind-tiny.gguf"
TALK = [{"role": "user", "content": "Hi <|im_end|>"}]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = chat_cases.conversations(CASES, seed=12)
    path = tmp_path_factory.mktemp("templates") / "cases.jsonl"
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in made))
    return made, path


def ours(template, path):
    done = subprocess.run([RENDER, template, path], capture_output=True, check=True, timeout=300)
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


@pytest.mark.parametrize("file", [*SHARED, *OWN], ids=lambda file: file.stem)
def test_renders_as_jinja2(file, cases):
    pytest.importorskip("jinja2", reason="python3-jinja2 is not installed")
    if not RENDER.exists():
        pytest.skip(f"{RENDER} is not built")
    made, path = cases
    template = chat_cases.environment().from_string(file.read_text())
    got = ours(file, path)
    assert len(got) == len(made), got[:1]
    for i, (case, answer) in enumerate(zip(made, got)):
        want = chat_cases.rendered(template, case)
        assert answer.get("text") == want, f"case {i}: {json.dumps(case)}\n{answer}"


def lines_of(name):
    return [json.loads(line) for line in (FILES / name).read_text().split("\n") if line]


def rendered_lines(templates, path):
    variables = json.loads((FILES / "variables.json").read_text())
    path.write_text("".join(json.dumps({"template": one, "variables": variables}) + "\n"
                            for one in templates))
    return variables, ours("-l", path)


def test_snippets_render_as_in_jinja2(tmp_path):
    pytest.importorskip("jinja2", reason="python3-jinja2 is not installed")
    if not RENDER.exists():
        pytest.skip(f"{RENDER} is not built")
    templates, env = lines_of("snippets.jsonl"), chat_cases.environment()
    variables, got = rendered_lines(templates, tmp_path / "lines")
    assert len(got) == len(templates) > 300
    for template, answer in zip(templates, got):
        try:
            want = env.from_string(template).render(**variables)
        except Exception:  # noqa: BLE001: whatever a template does wrong
            want = None
        assert answer.get("text") == want, (template, answer)


def test_what_is_not_built_is_refused_by_name_and_line(tmp_path):
    if not RENDER.exists():
        pytest.skip(f"{RENDER} is not built")
    templates = lines_of("refused.jsonl")
    for template, answer in zip(templates, rendered_lines(templates, tmp_path / "lines")[1]):
        assert "line 1" in answer["fault"] and "not supported" in answer["fault"], template


def apply(service, body):
    answer = service.post("/apply-template", body)
    return answer.status, answer.json()


def test_the_route_renders_the_models_template(serve, tmp_path):
    text = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ tools is none }}" \
           "{{ documents }}{% if add_generation_prompt %}>{% endif %}{{ x }}"
    model = with_strings(BUILTIN, tmp_path / "m.gguf", tokenizer__chat_template=text)
    service = serve(model=model)
    assert service.get("/info").json()["chat_template"] == {"usable": True, "fault": None}
    assert apply(service, {"messages": TALK}) == \
        (200, {"prompt": "[user]Hi <|im_end|>TrueNone>"})
    body = {"messages": TALK, "add_generation_prompt": False, "tools": [], "documents": [1],
            "chat_template_kwargs": {"x": [1.0, "a"]}}
    assert apply(service, body) == \
        (200, {"prompt": "[user]Hi <|im_end|>False[1][1.0, 'a']"})
    for wrong, param in [({}, "messages"), ({"messages": {}}, "messages"),
                         ({"messages": [{"content": "x"}]}, "messages"),
                         ({"messages": [1]}, "messages"),
                         ({"messages": TALK, "chat_template_kwargs": []},
                          "chat_template_kwargs"),
                         ({"messages": TALK, "chat_template_kwargs": {"messages": []}},
                          "chat_template_kwargs"),
                         ({"messages": TALK, "chat_template": "x"}, "chat_template"),
                         ({"messages": TALK, "add_generation_prompt": 1},
                          "add_generation_prompt")]:
        status, answer = apply(service, wrong)
        assert (status, answer["error"]["param"]) == (400, param), answer


def test_numbers_keep_their_spelling(serve, tmp_path):
    model = with_strings(BUILTIN, tmp_path / "m.gguf",
                         tokenizer__chat_template="{{ messages[0].tool_calls|tojson }}")
    service = serve(model=model)
    for arguments in ('{"a": 1.0, "b": 1e3, "c": 12345678901234567890, "d": -0.50}',
                      json.dumps('{"a": 1.0, "b": 1e3, "c": 12345678901234567890, "d": -0.50}')):
        body = '{"messages":[{"role":"assistant","tool_calls":[{"function":' \
               '{"name":"f","arguments":%s}}]}]}' % arguments
        answer = service.post("/apply-template", body.encode())
        assert answer.json()["prompt"] == \
            '[{"function": {"name": "f", "arguments": {"a": 1.0, "b": 1e3, ' \
            '"c": 12345678901234567890, "d": -0.50}}}]'


def test_a_template_that_cannot_be_used_is_said_by_line(serve, tmp_path):
    text = "line one\n{{ messages|nonsense }}"
    model = with_strings(BUILTIN, tmp_path / "m.gguf", tokenizer__chat_template=text)
    service = serve(model=model)
    fault = service.get("/info").json()["chat_template"]["fault"]
    assert "line 2" in fault and "nonsense" in fault
    assert service.logged(fault)
    for path, body in [("/apply-template", {"messages": TALK}),
                       ("/v1/chat/completions", {"model": "m", "messages": TALK})]:
        answer = service.post(path, body)
        assert answer.status == 501 and "line 2" in answer.json()["error"]["message"]


def test_a_model_without_a_template_answers_501_until_it_is_given_one(serve, tmp_path):
    service = serve()
    status, answer = apply(service, {"messages": TALK})
    assert status == 501 and "--chat-template" in answer["error"]["message"]
    service = serve("--chat-template", "chatml")
    assert apply(service, {"messages": TALK})[1]["prompt"] == \
        "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    answer = service.post("/v1/chat/completions",
                          {"model": "m", "messages": TALK, "max_tokens": 2})
    assert answer.status == 200, answer.body
    file = tmp_path / "own.jinja"
    file.write_text("own {{ messages|length }}")
    service = serve("--chat-template", file)
    assert apply(service, {"messages": TALK})[1]["prompt"] == "own 1"


def test_templates_of_requests_need_the_setting_and_are_bounded(serve):
    flags = ["--request-templates", "on", "--chat-template", "chatml",
             "--template-steps", "100000", "--template-output", "4K", "--template-memory", "4M"]
    service = serve(*flags)
    def ask(template):
        return apply(service, {"messages": TALK, "chat_template": template})
    assert ask("{{ messages[0].role }}") == (200, {"prompt": "user"})
    for template, word in [("{{ raise_exception('not so') }}", "not so"),
                           ("{% for i in range(99999) %}{% for k in range(99999) %}"
                            "{% endfor %}{% endfor %}", "steps"),
                           ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deep"),
                           ("{{ 'x' * 9999 }}", "bytes"),
                           ("{% set a = 'x' * 999999999 %}", "memory"),
                           ("\n{% include 'x' %}", "line 2")]:
        status, answer = ask(template)
        assert status in (400, 413) and word in answer["error"]["message"], answer


def test_content_that_is_null_or_missing_is_an_empty_text_in_chats(serve, tmp_path):
    lists_alone = tmp_path / "lists.jinja"
    lists_alone.write_text("{% for m in messages %}{{ m.role }}{% for p in m.content %}"
                           "{{ p.text + '' }}{% endfor %};{% endfor %}")
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for template in ["chatml", lists_alone]:
        service = serve("--chat-template", template)
        def n_prompt(**answer):
            messages = [*TALK, {"role": "assistant", **answer}, *TALK]
            response = service.post("/v1/chat/completions",
                                    {"model": "m", "messages": messages, "max_tokens": 1})
            assert response.status == 200, response.body
            return response.json()["usage"]["prompt_tokens"]
        for rest in [{}, {"tool_calls": None}, {"tool_calls": []}, {"tool_calls": [call]},
                     {"function_call": None, "refusal": "no"}]:
            want = n_prompt(content="", **rest)
            assert n_prompt(content=None, **rest) == want == n_prompt(**rest), rest
