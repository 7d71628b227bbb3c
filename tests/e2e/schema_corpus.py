"""Schemas as people and their libraries write them, drawn from a seed: pydantic's models, zod's
objects, OpenAPI's components, tools' parameters, and what JSON Schema's own pages show."""
import random

WORDS = ("name title email age status price quantity notes city street country phone tags items "
         "total currency start end kind score summary url path query limit offset user_id "
         "created_at enabled options priority language author rating steps reason "
         "confidence").split()
STATES = ["active", "inactive", "pending", "archived", "deleted", "draft", "published", "failed"]
FORMATS = ["date", "date-time", "time", "email", "uuid", "ipv4", "ipv6", "uri"]
PATTERNS = ["^[A-Z]{2}$", "^\\d{5}(-\\d{4})?$", "^[a-z0-9-]+$", "^#[0-9a-fA-F]{6}$",
            "^\\+?[1-9]\\d{1,14}$", "^[A-Z]{3}-\\d{3,6}$", "^(GET|POST|PUT|DELETE)$", "\\S",
            "^v\\d+\\.\\d+\\.\\d+$", "^[^@\\s]+@[^@\\s]+$", "^.{3,20}$", "[a-z]+_[a-z]+"]


def string(r):
    return r.choice([
        lambda: {"type": "string"},
        lambda: {"type": "string", "description": "free text"},
        lambda: {"type": "string", "enum": r.sample(STATES, r.randint(2, 5))},
        lambda: {"type": "string", "format": r.choice(FORMATS)},
        lambda: {"type": "string", "minLength": 1, "maxLength": r.choice([10, 50, 100])},
        lambda: {"type": "string", "minLength": r.randint(1, 3)},
        lambda: {"type": "string", "maxLength": r.choice([20, 64, 255])},
        lambda: {"type": "string", "pattern": r.choice(PATTERNS)},
        lambda: {"type": "string", "pattern": r.choice(PATTERNS[:6]), "maxLength": 30},
        lambda: {"type": "string", "format": "email", "maxLength": 100},
        lambda: {"const": r.choice(STATES)},
        lambda: {"type": "string", "default": "x", "examples": ["y"]},
        lambda: {"type": "string", "format": "password"},
        lambda: {"type": "string", "enum": r.sample(STATES, 3), "minLength": 1},
        lambda: {"type": "string", "not": {"enum": ["", "none"]}},
    ])()


def number(r):
    low = r.choice([0, 1, -90, 10, 1900])
    return r.choice([
        lambda: {"type": "integer"},
        lambda: {"type": "number"},
        lambda: {"type": "integer", "minimum": low},
        lambda: {"type": "integer", "minimum": low, "maximum": low + r.choice([5, 100, 4095])},
        lambda: {"type": "number", "minimum": 0, "maximum": 1},
        lambda: {"type": "number", "minimum": -180.5, "maximum": 180.5},
        lambda: {"type": "number", "exclusiveMinimum": 0},
        lambda: {"type": "integer", "format": "int64", "example": 10},
        lambda: {"type": "number", "format": "double"},
        lambda: {"type": "integer", "multipleOf": r.choice([2, 5, 10, 100])},
        lambda: {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
        lambda: {"type": "number", "multipleOf": 0.5, "minimum": 0},
        lambda: {"enum": [1, 2, 3, 5, 8]},
        lambda: {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 11},
    ])()


def array(r, depth):
    item = value(r, depth + 1)
    return r.choice([
        lambda: {"type": "array", "items": item},
        lambda: {"type": "array", "items": item, "minItems": 1},
        lambda: {"type": "array", "items": item, "maxItems": r.randint(1, 5)},
        lambda: {"type": "array", "items": item, "minItems": 1, "maxItems": 3},
        lambda: {"type": "array", "items": {"type": "string", "enum": STATES[:4]},
                 "uniqueItems": True},
        lambda: {"type": "array", "prefixItems": [number(r), string(r)], "items": False,
                 "minItems": 2},
        lambda: {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        lambda: {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}},
        lambda: {"type": "array"},
    ])()


def nullable(r, depth):
    inner = value(r, depth + 1)
    return r.choice([
        lambda: {"anyOf": [inner, {"type": "null"}], "default": None, "title": "Maybe"},
        lambda: {"type": ["string", "null"]},
        lambda: {"type": ["integer", "null"], "minimum": 0},
        lambda: {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        lambda: {"anyOf": [string(r), number(r)]},
    ])()


def record(r, depth):
    n = r.randint(1, 6 if depth == 0 else 3)
    names = r.sample(WORDS, n)
    out = {"type": "object", "properties": {name: value(r, depth + 1) for name in names}}
    required = [name for name in names if r.random() < 0.6]
    if required:
        out["required"] = required
    if r.random() < 0.6:
        out["additionalProperties"] = False
    if r.random() < 0.3:
        out["title"] = "Record"
    if r.random() < 0.1:
        out["minProperties"] = 1
    return out


def mapping(r, depth):
    inner = value(r, depth + 1)
    return r.choice([
        lambda: {"type": "object", "additionalProperties": inner},
        lambda: {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
        lambda: {"type": "object", "patternProperties": {"^[a-z_]+$": inner},
                 "additionalProperties": False},
        lambda: {"type": "object", "patternProperties": {"^x-": {}, "^S_": {"type": "string"}},
                 "properties": {"id": {"type": "integer"}}, "additionalProperties": False},
        lambda: {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,8}$"},
                 "additionalProperties": {"type": "integer"}},
        lambda: {"type": "object"},
    ])()


def union(r, depth):
    kinds = r.sample(STATES, 3)
    branches = []
    for kind in kinds:
        branch = record(r, depth + 1)
        branch["properties"] = {"kind": {"const": kind}, **branch["properties"]}
        branch["properties"]["kind"] = {"const": kind}
        branch["required"] = sorted({"kind", *branch.get("required", [])})
        branches.append(branch)
    return {r.choice(["oneOf", "anyOf"]): branches, "discriminator": {"propertyName": "kind"}}


def value(r, depth):
    makers = [string] * 6 + [number] * 4 + [lambda r: {"type": "boolean"}]
    if depth < 3:
        makers += [lambda r: array(r, depth)] * 2 + [lambda r: nullable(r, depth)] * 2
        makers += [lambda r: record(r, depth)] * 2 + [lambda r: mapping(r, depth)]
        makers += [lambda r: union(r, depth)] * (depth < 2)
    return r.choice(makers)(r)


def referring(r):
    item, address = record(r, 1), record(r, 2)
    return r.choice([
        lambda: {"$defs": {"Item": item, "Address": address}, "type": "object",
                 "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
                                "home": {"$ref": "#/$defs/Address"}}, "required": ["items"]},
        lambda: {"$ref": "#/definitions/Node", "definitions": {"Node": {
            "type": "object", "properties": {"value": number(r), "next": {"anyOf": [
                {"$ref": "#/definitions/Node"}, {"type": "null"}]}}, "required": ["value"]}}},
        lambda: {"$schema": "https://json-schema.org/draft/2020-12/schema", **item},
        lambda: {"allOf": [{"$ref": "#/$defs/Base"},
                           {"type": "object", "properties": {"extra": string(r)}}],
                 "$defs": {"Base": {"type": "object", "properties": {"id": {"type": "integer"}},
                                    "required": ["id"]}}},
        lambda: {"components": {"schemas": {"Pet": item}}, "type": "array",
                 "items": {"$ref": "#/components/schemas/Pet"}},
        lambda: {"type": "object", "properties": {"tree": {"$ref": "#/$defs/T"}},
                 "$defs": {"T": {"type": "object", "properties": {
                     "label": {"type": "string"},
                     "children": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
                     "required": ["label"], "additionalProperties": False}}},
    ])()


def conditional(r):
    base = {"type": "object", "properties": {
        "method": {"enum": ["card", "cash"]}, "number": {"type": "string", "pattern": "^[0-9]{4}$"},
        "amount": {"type": "number", "minimum": 0}}, "required": ["method", "amount"]}
    return r.choice([
        lambda: {**base, "if": {"properties": {"method": {"const": "card"}}},
                 "then": {"required": ["number"]}},
        lambda: {**base, "dependentRequired": {"number": ["amount"]},
                 "additionalProperties": False},
        lambda: {**base, "anyOf": [{"required": ["number"]},
                                   {"properties": {"method": {"const": "cash"}}}]},
        lambda: {**base, "not": {"required": ["number", "amount"]}},
        lambda: {**base, "unevaluatedProperties": False},
        lambda: {"oneOf": [{"type": "object", "properties": {"id": number(r)}, "required": ["id"]},
                           {"type": "object", "properties": {"slug": string(r)},
                            "required": ["slug"]}]},
    ])()


def schemas(n, seed=1):
    r = random.Random(seed)
    makers = [lambda r: record(r, 0)] * 8 + [lambda r: union(r, 0)] + [referring] * 2
    makers += [conditional, lambda r: value(r, 0)]
    return [r.choice(makers)(r) for _ in range(n)]
