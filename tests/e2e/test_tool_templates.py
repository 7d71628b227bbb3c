"""Calls as chat templates write them: the syntax is known by the template's text, its grammar takes
what the template makes of earlier calls, and reading it gives the calls back."""
import copy
import json
import subprocess

import pytest

import chat_cases
import models
from service import BINARY

CHECK = BINARY.parent / "call_check"
FOLDER = models.SHARED / "fixtures" / "templates"
ARGUMENTS = {"city": "Par \"q\" \\ é\nx", "days": -3, "deep": {"a": [1, 2.5, True], "b": "s"},
             "ok": False}
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather", "parameters": {
        "type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Where"},
            "days": {"type": "integer", "description": "How long"},
            "deep": {"type": "object", "description": "More", "properties": {
                "a": {"type": "array", "items": {}}, "b": {"type": "string"}}},
            "ok": {"type": "boolean", "description": "Or not"}}}}}, {
    "type": "function", "function": {
        "name": "ping", "description": "Nothing", "parameters": {
            "type": "object", "properties": {}}}}]
QUESTION = {"role": "user", "content": "Hi there"}
ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<EOS>", "<|call|>", "<turn|>", "<|end|>",
        "<|end_of_text|>", "<|assistant_end|>", "<end_of_sentence>", "<|END_OF_TURN_TOKEN|>",
        "<｜end▁of▁sentence｜>", "<|user|>", "<|observation|>", "<|tool_response>")


def call(number, name, arguments):
    return {"id": f"abcdefgh{number}", "type": "function",
            "function": {"name": name, "arguments": arguments}}


def written(template, calls):
    """The prompt, and what follows it in a conversation that goes on with the calls; None where
    the template cannot."""
    answers = [{"role": "tool", "tool_call_id": c["id"], "name": c["function"]["name"],
                "content": "x"} for c in calls]
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    for more in ([], answers):
        case = {"messages": [QUESTION, copy.deepcopy(said), *more], "tools": TOOLS,
                "add_generation_prompt": False}
        whole = chat_cases.rendered(template, case, "<BOS>", "<EOS>")
        prompt = chat_cases.rendered(template, {"messages": [QUESTION], "tools": TOOLS,
                                                "add_generation_prompt": True}, "<BOS>", "<EOS>")
        if whole is None or prompt is None:
            continue
        same = next((i for i, (a, b) in enumerate(zip(whole, prompt)) if a != b), len(prompt))
        while whole[:same].endswith(("<", "<|")):  # of a tag that the prompt goes on with
            same -= 1
        text = whole[same:]
        ends = [text.index(end) for end in ENDS if end in text]
        return prompt[:same], text[:min(ends)] if ends else text
    return None


def checked(lines):
    done = subprocess.run([CHECK], input="".join(json.dumps(line) + "\n" for line in lines),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def templates():
    return sorted(FOLDER.glob("*.jinja")) if FOLDER.is_dir() else []


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.stem)
def test_calls_come_back(path):
    pytest.importorskip("jinja2", reason="python3-jinja2 is not installed")
    if not CHECK.is_file():
        pytest.skip("call_check is not built")
    source = path.read_text(encoding="utf-8")
    if "tool_calls" not in source:
        pytest.skip("the template writes no calls")
    template = chat_cases.environment().from_string(source)
    calls = [call(1, "get_weather", ARGUMENTS), call(2, "ping", {})]
    for some in (calls, calls[:1], calls[1:]):
        found = written(template, some)
        if found is None:
            continue
        prompt, text = found
        answer = checked([{"template": source, "prompt": prompt, "text": text,
                           "tools": [t["function"] for t in TOOLS]}])[0]
        assert answer["same"] and answer["text"].strip() == "", answer
        assert answer["taken"] == len(text.encode()), (text.encode()[answer["taken"]:], answer)
        read = [(c["name"], json.loads(c["arguments"])) for c in answer["calls"]]
        wanted = [(c["function"]["name"], c["function"]["arguments"]) for c in some]
        assert read == wanted[:len(read)] and read, answer
        if read == wanted:
            return
    pytest.skip("Python cannot write a conversation with calls by this template")
