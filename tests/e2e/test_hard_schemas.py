"""Schemas that are hard to hold: what the built-in model writes at temperature 1 is valid, and none
is refused."""
import json

import pytest

ODD = "\u00e9 \"q\" \\ \n\U0001f600"
SCHEMAS = {
    "circle": {"$ref": "#/$defs/a", "$defs": {
        "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}},
              "additionalProperties": False},
        "b": {"type": ["object", "null"], "properties": {"a": {"$ref": "#/$defs/a"}},
              "additionalProperties": False}}},
    "nested lists": {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
        {"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/n"}, "maxItems": 2}]}}},
    "merged": {"allOf": [
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}},
         "required": ["a"]},
        {"properties": {"a": {"maximum": 9}, "b": {"type": "string", "maxLength": 3}},
         "required": ["b"]}], "unevaluatedProperties": False},
    "names by patterns": {
        "type": "object", "minProperties": 1, "maxProperties": 3, "additionalProperties": False,
        "patternProperties": {"^x_[a-z]{1,3}$": {"type": "integer", "minimum": 0, "maximum": 99},
                              "^n": {"type": "null"}}},
    "odd names": {"type": "object", "required": [ODD, "/a~b"], "additionalProperties": False,
                  "properties": {ODD: {"type": "boolean"}, "/a~b": {"const": {"a": [1, 2.5]}}}},
    "one of two": {"oneOf": [
        {"type": "object", "required": ["kind", "lives"], "additionalProperties": False,
         "properties": {"kind": {"const": "cat"},
                        "lives": {"type": "integer", "minimum": 1, "maximum": 9}}},
        {"type": "object", "required": ["kind"], "additionalProperties": False,
         "properties": {"kind": {"const": "dog"}, "name": {"type": "string", "maxLength": 4}}}]},
    "multiples": {"type": "integer", "multipleOf": 15, "minimum": -100, "maximum": 1000},
    "types": {"type": ["integer", "null", "boolean", "string"], "maxLength": 3, "minimum": 5,
              "maximum": 17},
    "tuple": {"type": "array", "items": False, "minItems": 2, "prefixItems": [
        {"type": "string", "format": "date"}, {"type": "integer"}]},
    "no two alike": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True,
                     "minItems": 2, "maxItems": 3},
    "ranges": {"type": "number", "minimum": -2.5, "exclusiveMaximum": -0.75},
    "halves": {"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[^a-z]*$"},
    "conditions": {"type": "object", "required": ["a"], "additionalProperties": False,
                   "properties": {"a": {"enum": [1, 2]}, "b": {"type": "boolean"}},
                   "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}},
    "names of letters": {"type": "object", "propertyNames": {"pattern": "^[a-c]{2}$"},
                         "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 5},
                         "minProperties": 1, "maxProperties": 2},
    "holds a seven": {"type": "array", "contains": {"const": 7}, "maxItems": 4,
                      "items": {"type": "integer", "minimum": 5, "maximum": 8}},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_written_is_valid(service, name):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    valid = jsonschema.Draft202012Validator(
        SCHEMAS[name], format_checker=jsonschema.FormatChecker())
    for seed in range(3):
        answer = service.post("/generate", {
            "prompt": "x", "format": {"json_schema": SCHEMAS[name]}, "temperature": 1,
            "seed": seed, "max_tokens": 400, "stream": False})
        assert answer.status == 200, answer
        assert answer.json()["finish_reason"] == "stop"
        valid.validate(json.loads(answer.json()["text"]))
