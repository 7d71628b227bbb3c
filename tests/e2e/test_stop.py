"""Stop strings that are the names of control tokens, which have no text."""
import json

import models

PROMPT = "Once upon a time"
NAME = "<|im_start|>"


def test_a_stop_string_that_names_a_control_token_ends_the_text(serve):
    service = serve(model=models.small())
    asked = {"text": NAME, "parse_special": True}
    ids = json.loads(service.post("/tokenize", asked).body)["tokens"]
    assert len(ids) == 1
    fields = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0,
              "logit_bias": {str(ids[0]): 100}}
    on = service.answer(**fields)
    assert on["tokens"] == ids * 6 and on["text"] == ""
    cut = service.answer(stop=["no", NAME], **fields)
    assert (cut["tokens"], cut["text"], cut["finish_reason"]) == (ids, "", "stop")
    assert cut["usage"]["completion_tokens"] == 1
    # A part of the name is no text, and a string that goes on after it is not there.
    assert service.answer(stop=[NAME[:-1], NAME + "x"], **fields)["finish_reason"] == "length"
