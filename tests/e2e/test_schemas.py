"""JSON Schemas as grammars: what is accepted is valid, what is valid and written as people write it
is accepted, what is made at random is valid, and what is not held is refused by name."""
import json
import pathlib
import subprocess

import pytest
import schema_corpus
from service import BINARY

CHECK = BINARY.parent / "schema_check"
SUITE = pathlib.Path(__file__).resolve().parents[2] / "../shared/fixtures/json-schema"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0},
                   "mail": {"type": "string", "format": "email"}},
    "required": ["name", "age"], "additionalProperties": False,
}  # fmt: skip
TREE = {"$ref": "#/$defs/node", "$defs": {"node": {
    "type": "object", "required": ["value"], "additionalProperties": False,
    "properties": {"value": {"type": "number"},
                   "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}}

# schema, values that must pass, texts that must not
CASES = [
    (PERSON, [{"name": "Ann \"x\" é 😀", "age": 7}, {"name": "", "age": 0, "mail": "a.b@c.org"}],
     ['{"name": "Ann"}', '{"age": 1, "name": "x"}', '{"name": "A", "age": -1}',
      '{"name": "A", "age": 1, "x": 2}', '{"name": "A", "age": 1', '{"name": "\n", "age": 1}']),
    (TREE, [{"value": 1.5, "children": [{"value": 2, "children": []}, {"value": -3e5}]}],
     ['{"value": 1, "children": [{}]}', '{"value": 1, "children": [1]}']),
    ({"type": "integer", "minimum": -12, "exclusiveMaximum": 3405}, [-12, -9, 0, 1, 99, 1000, 3404],
     ["-13", "3405", "9999", "01", "-0012", "1.5", "-20"]),
    ({"type": "integer", "minimum": 17}, [17, 18, 20, 99, 100, 123456789], ["16", "9", "0", "-17"]),
    ({"type": "integer", "maximum": -5}, [-5, -6, -10, -99999], ["-4", "0", "5"]),
    ({"type": "number", "minimum": 0.25, "maximum": 12.5},
     [0.25, 0.3, 1, 9.99, 10, 12.49, 12.5, 12], ["0.2", "0", "0.249", "12.51", "13", "100", "-1"]),
    ({"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 1},
     [0, 0.5, -0.999, 0.999], ["1", "-1", "1.0", "-1.0", "2"]),
    ({"type": "integer", "multipleOf": 7}, [0, 7, 14, -21, 700], ["1", "8", "-1", "15"]),
    ({"type": "string", "minLength": 2, "maxLength": 4}, ["ab", "é😀", "\"\\\n\t"],
     ['"a"', '"abcde"', '""']),
    ({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}, ["AB-1", "ZZ-007"], ['"AB-"', '"xAB-1"']),
    ({"type": "string", "pattern": "b.d"}, ["a bad one", "b\"d", "bed"], ['"abc"', '"b\\nd"']),
    ({"type": "string", "format": "date"}, ["2026-02-28", "2024-02-29"],
     ['"2026-02-29"', '"2026-13-01"', '"26-1-1"', '"2026-04-31"']),
    ({"type": "string", "format": "date-time"},
     ["2026-11-27T20:15:00Z", "2026-11-27T20:15:00.5+01:00"],
     ['"2026-11-27 20:15:00Z"', '"2026-11-27T24:15:00Z"']),
    ({"type": "string", "format": "ipv4"}, ["127.0.0.1", "255.255.255.255"],
     ['"256.0.0.1"', '"1.2.3"']),
    ({"type": "string", "format": "ipv6"}, ["::1", "2001:db8::ff00:42:8329", "1:2:3:4:5:6:7:8"],
     ['"1:2:3:4:5:6:7"', '"12345::"', '":::"']),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"],
     ['"123e4567e89b12d3a456426614174000"']),
    ({"type": "string", "format": "uri"}, ["https://example.com/a/b?c=d#e", "mailto:a@b.c"],
     ['"example.com"', '"http://a b"']),
    ({"enum": ["red", 5, None, {"a": [1, 2]}]}, ["red", 5, None, {"a": [1, 2]}], ['"re"', "6"]),
    ({"const": "é\n"}, ["é\n"], ['"e"']),
    ({"type": ["string", "null"]}, ["x", None], ["1", "true"]),
    ({"type": "integer", "nullable": True}, [1, None], ['"x"']),
    ({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "integer"}}]},
     [True, [], [1, 2]], ["1", '["x"]']),
    ({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}},
                 "required": ["kind", "x"], "additionalProperties": False},
                {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"],
                 "additionalProperties": False}]},
     [{"kind": "a", "x": 1}, {"kind": "b"}], ['{"kind": "a"}', '{"kind": "b", "x": 1}']),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]}],
      "unevaluatedProperties": False},
     [{"a": 1, "b": "x"}], ['{"a": 1}', '{"a": 1, "b": "x", "c": 1}']),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
     [[], [1], [1, "x"]], ['["x"]', '[1, "x", 2]']),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
     [[True], [True, False, True]], ["[]", "[true,true,true,true]"]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1,
      "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 2}],
     ["{}", '{"a":1,"b":2,"c":3}', '{"a":"x"}']),
    ({"type": "object", "patternProperties": {"^x-": {"type": "string"}},
      "additionalProperties": False}, [{}, {"x-a": "1", "x-": "2"}], ['{"y": "1"}', '{"x-a": 1}']),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "integer"}}},
     [{"a": 1}, {"ab": 1, "abc": "x", "b": []}, {"": 1}], ['{"a": "x"}', '{"ab": null}']),
    ({"type": "object", "properties": {c: {"type": "integer"} for c in "abcdefgh"},
      "minProperties": 3, "maxProperties": 4, "additionalProperties": False},
     [{"a": 1, "d": 2, "h": 3}, {"e": 1, "f": 1, "g": 1, "h": 1}],
     ['{"a":1,"b":2}', '{"a":1,"b":1,"c":1,"d":1,"e":1}']),
    # bounds that hold together
    ({"type": "string", "pattern": "^[a-z0-9-]+$", "minLength": 3, "maxLength": 5},
     ["abc", "a-b-1"], ['"ab"', '"abcdef"', '"ABC"', '""']),
    ({"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}]}, ["ab", "xbxax"],
     ['"a"', '"b"', '""']),
    ({"type": "string", "format": "email", "maxLength": 12}, ["a@b.cd"],
     ['"abcdefgh@b.cd"', '"a@b"']),
    ({"type": "string", "enum": ["a", "bb", "ccc"], "minLength": 2}, ["bb", "ccc"], ['"a"']),
    ({"enum": [1, 5, 10, "x"], "minimum": 5}, [5, 10, "x"], ["1"]),
    ({"type": "number", "minimum": 0.25, "maximum": 0.75}, [0.25, 0.5, 0.75, 0.74999],
     ["0.2", "0.76", "0.7501", "1"]),
    ({"type": "integer", "multipleOf": 7, "minimum": 100000}, [100002, 700000], ["7", "100001"]),
    ({"type": "number", "multipleOf": 0.25}, [0, 0.25, 1.5, -7.75, 12], ["0.3", "0.255", "1.1"]),
    ({"type": "object", "properties": {"x_id": {"type": "integer"}},
      "patternProperties": {"^x_": {"minimum": 5}, "_s$": {"type": "string"}},
      "additionalProperties": {"type": "boolean"}},
     [{"x_id": 7}, {"x_id": 5, "x_b": 6}, {"a_s": "t", "b": True}],
     ['{"x_id": 3}', '{"x_b": 2}', '{"a_s": 1}', '{"b": 1}', '{"x_s": 7}']),
    ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 3},
      "additionalProperties": {"type": "null"}}, [{}, {"abc": None}],
     ['{"abcd": null}', '{"A": null}', '{"": null}', '{"\\u0061bcd": null}']),
    # conditions
    ({"type": "string", "not": {"enum": ["root", "admin"]}}, ["roo", "roots", "", "x"],
     ['"root"', '"admin"', '"\\u0072oot"']),
    ({"type": "string", "not": {"pattern": "^x"}}, ["", "ax"], ['"x"', '"xa"']),
    ({"type": "integer", "not": {"const": 7}}, [6, 77, 70], ["7"]),
    ({"type": "number", "not": {"const": 7}}, [6, 77, 7.5], ["7", "7.0", "7.00"]),
    ({"not": {"type": ["string", "object"]}}, [1, None, [], True], ['"x"', "{}"]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
      "not": {"required": ["a", "b"]}}, [{}, {"a": 1}, {"b": 1}], ['{"a": 1, "b": 1}']),
    ({"type": "object",
      "properties": {"country": {"enum": ["US", "CA"]}, "zip": {"type": "string"}},
      "required": ["country", "zip"], "additionalProperties": False,
      "if": {"properties": {"country": {"const": "US"}}, "required": ["country"]},
      "then": {"properties": {"zip": {"pattern": "^[0-9]{5}$"}}},
      "else": {"properties": {"zip": {"pattern": "^[A-Z][0-9][A-Z]$"}}}},
     [{"country": "US", "zip": "12345"}, {"country": "CA", "zip": "K1A"}],
     ['{"country": "US", "zip": "K1A"}', '{"country": "CA", "zip": "12345"}']),
    ({"type": "object", "properties": {"card": {"type": "string"}, "street": {"type": "string"}},
      "dependentRequired": {"card": ["street"]}, "additionalProperties": False},
     [{}, {"street": "s"}, {"card": "c", "street": "s"}], ['{"card": "c"}']),
    ({"type": "object", "properties": {"a": {"type": "integer"}},
      "dependentSchemas": {"a": {"properties": {"b": {"type": "string"}}, "required": ["b"]}}},
     [{}, {"a": 1, "b": "x"}], ['{"a": 1}', '{"a": 1, "b": 2}']),
    # items
    ({"type": "array", "items": {"enum": ["r", "g", "b"]}, "uniqueItems": True, "minItems": 1},
     [["r"], ["b", "r", "g"]], ["[]", '["r","r"]', '["g","b","g"]']),
    ({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 10}},
     [[10], [1, 12, 3], [11, 15]], ["[]", "[1,2]"]),
    ({"type": "array", "items": {"type": "integer"}, "contains": {"const": 5}, "minContains": 2,
      "maxContains": 2, "maxItems": 4}, [[5, 5], [1, 5, 5], [5, 1, 2, 5]],
     ["[5]", "[5,5,5]", "[5,5,1,2,3]"]),
    # branches that exclude each other once they are kept apart
    ({"oneOf": [{"type": "object", "properties": {"m": {"type": "string"}}, "required": ["m"]},
                {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}]},
     [{"m": "x"}, {"n": "y"}, {"m": "x", "k": 1}], ['{}', '{"m": "x", "n": "y"}']),
    ({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 7},
                {"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}]},
     [2, 8, "ab", "ba"], ["5", '"c"']),
    ({"allOf": [{"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
                {"anyOf": [{"required": ["c"]}, {"required": ["d"]}]}], "type": "object",
      "properties": {c: {"type": "integer"} for c in "abcd"}, "additionalProperties": False},
     [{"a": 1, "c": 1}, {"b": 1, "c": 1, "d": 1}], ['{"a": 1}', '{"c": 1, "d": 1}', "{}"]),
    ({"$ref": "#/$defs/a", "properties": {"y": {"type": "integer"}}, "required": ["y"],
      "$defs": {"a": {"type": "object", "properties": {"x": {"$ref": "#txt"}}, "required": ["x"]},
                "b": {"$anchor": "txt", "type": "string"}}},
     [{"x": "s", "y": 1}], ['{"x": "s"}', '{"y": 1}', '{"x": 1, "y": 1}']),
]  # fmt: skip

REFUSED = [
    ({"not": {"additionalProperties": False}}, '"not"'),
    ({"if": {"format": "date"}, "then": {}}, '"if"'),
    ({"type": "array", "uniqueItems": True}, '"uniqueItems"'),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, '"uniqueItems"'),
    ({"type": "array", "contains": {"const": 1}, "minItems": 500}, '"contains"'),
    ({"type": "number", "multipleOf": 0.01}, '"multipleOf"'),
    ({"type": "object", "minProperties": 3}, '"minProperties"'),
    ({"type": "string", "format": "idn-email"}, '"idn-email"'),
    ({"type": "string", "pattern": "(?=a)b"}, "looking around"),
    ({"type": "string", "pattern": 5}, '"pattern"'),
    ({"type": "string", "minLength": 5000}, '"minLength"'),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, '"oneOf"'),
    ({"$ref": "http://example.com/x"}, '"$ref"'),
    ({"$ref": "#/$defs/none"}, "leads nowhere"),
    ({"$ref": "#"}, "circle"),
    ({"type": "wrong"}, '"wrong"'),
    ({"type": "object", "frobnicate": 1}, '"frobnicate"'),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "leaves no value"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "leaves no value"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "leaves no value"),
    ({"type": "array", "items": {"type": "string", "maxLength": 5000}, "maxItems": 5000},
     "too large"),
    (5, "must be an object"),
]  # fmt: skip


@pytest.fixture(scope="module")
def ask():
    if not CHECK.exists():
        pytest.skip(f"{CHECK} is not built")
    child = subprocess.Popen([CHECK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def one(schema, texts=(), make=0, seed=1):
        line = json.dumps({"schema": schema, "texts": list(texts), "make": make, "seed": seed})
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())

    yield one
    child.stdin.close()
    assert child.wait() == 0


def forms(value):
    return (json.dumps(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False),
            json.dumps(value, indent=2), json.dumps(value, indent="\t"))


@pytest.mark.parametrize("schema, right, wrong", CASES, ids=range(len(CASES)))
def test_what_is_valid_passes_and_nothing_else(ask, schema, right, wrong):
    texts = [text for value in right for text in forms(value)]
    answer = ask(schema, texts + wrong)
    assert "error" not in answer, answer
    passed = answer["accepts"]
    assert [t for t, ok in zip(texts, passed) if not ok] == []
    assert [t for t, ok in zip(wrong, passed[len(texts):]) if ok] == []


@pytest.mark.parametrize("schema", [case[0] for case in CASES], ids=range(len(CASES)))
def test_what_is_made_is_valid(ask, schema):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(schema)
    answer = ask(schema, make=20, seed=3)
    for text in answer["made"]:
        value = json.loads(text)
        assert value is None and schema.get("nullable") or list(validator.iter_errors(value)) == []


def test_what_people_write_is_held_and_what_is_made_is_valid(ask):
    jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")
    schemas, refused = schema_corpus.schemas(520), []
    for seed, schema in enumerate(schemas):
        answer = ask(schema, make=2, seed=seed)
        if "error" in answer:
            refused.append(answer["error"])
            continue
        validator = jsonschema.Draft202012Validator(schema)
        for text in answer["made"]:
            errors = [error.message for error in validator.iter_errors(json.loads(text))]
            assert errors == [], (schema, text)
    assert len(refused) <= 0.03 * len(schemas), refused


@pytest.mark.parametrize("schema, says", REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_held_is_refused_by_name(ask, schema, says):
    assert says in ask(schema)["error"]


@pytest.mark.parametrize("path", sorted(SUITE.glob("*.json")), ids=lambda path: path.stem)
def test_nothing_invalid_of_the_public_suite_passes(ask, path):
    for group in json.loads(path.read_text()):
        tests = [t for t in group["tests"] if not t["valid"]]
        if "\\u0000" in json.dumps(group["schema"]):
            continue  # cJSON ends a string there
        answer = ask(group["schema"], [json.dumps(t["data"]) for t in tests])
        if "error" in answer:
            continue
        wrong = [t["data"] for t, ok in zip(tests, answer["accepts"]) if ok]
        assert wrong == [], group["description"]
