"""lm-eval (EleutherAI's harness) on a task of a few lines, offline: what it sums up from
/v1/completions with echo and log-probabilities is what the native API says token by token."""
import json
import os
import subprocess
import sys

import pytest

from vocabulary import write_tokenizer

LINES = [
    ("Once upon a time, there was a little", [" girl", " fish with a red hat", " 7"]),
    ("The cat sat on the mat. The cat was", [" happy", " very, very big", " quantum"]),
    ("Tom said: \"Héllo!\" He", [" smiled.", " was sad", "\n\n"]),
]
TASK = """
task: few_lines
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: 0
target_delimiter: ""
metric_list:
  - metric: acc
"""


def native_sum(service, context, continuation):
    """The continuation's log-probability and whether each of its tokens is the likeliest: each
    token is forced by a bias, which the log-probabilities do not see."""
    total, greedy = 0.0, True
    whole, head = (service.post("/tokenize", {"text": text}).json()["tokens"]
                   for text in (context + continuation, context))
    for i in range(len(head), len(whole)):
        entry = service.answer(prompt=whole[:i], max_tokens=1, temperature=0, logprobs=1,
                               logit_bias={str(whole[i]): 100})["logprobs"][0]
        assert entry["id"] == whole[i]
        total += entry["logprob"]
        greedy = greedy and entry["logprob"] == entry["top"][0]["logprob"]
    return total, greedy


def test_sums_are_those_of_the_native_api(service, tmp_path):
    (tmp_path / "lines.jsonl").write_text("".join(
        json.dumps({"text": text, "choices": choices}) + "\n" for text, choices in LINES))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "few_lines.yaml").write_text(TASK.format(data=tmp_path / "lines.jsonl"))
    arguments = (f"model=tiny,base_url=http://{service.host}/v1/completions,max_length=512,"
                 f"tokenizer={write_tokenizer(tmp_path / 'tokenizer')},num_concurrent=1")
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args",
         arguments, "--tasks", "few_lines", "--include_path", str(tasks), "--log_samples",
         "--batch_size", "4", "--output_path", str(tmp_path / "results")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
             "HF_HOME": str(tmp_path / "hf"), "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    samples = next((tmp_path / "results").rglob("samples_few_lines*.jsonl"))
    found = {}
    for line in samples.read_text().splitlines():
        sample = json.loads(line)
        found[sample["doc"]["text"]] = sample["filtered_resps"]
    for text, choices in LINES:
        for (logprob, greedy), choice in zip(found[text], choices, strict=True):
            total, likeliest = native_sum(service, text, choice)
            assert float(logprob) == pytest.approx(total, abs=1e-4), (text, choice)
            assert str(greedy) == str(likeliest), (text, choice)
