"""Just enough of JSON Schema to hold a report against docs/profile.schema.json."""
import json


class Schema:
    def __init__(self, path):
        self.root = json.loads(path.read_text())

    def resolve(self, schema):
        while "$ref" in schema:
            place = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                place = place[part]
            schema = {**place, **{k: v for k, v in schema.items() if k != "$ref"}}
        return schema

    def faults(self, value, schema=None, where="$"):
        """Everything that is wrong, as texts."""
        schema = self.resolve(self.root if schema is None else schema)
        known = {
            "$schema",
            "$defs",
            "title",
            "description",
            "type",
            "required",
            "properties",
            "items",
            "additionalProperties",
            "enum",
            "const",
            "minimum",
            "maximum",
            "allOf",
            "anyOf",
            "propertyNames",
        }
        assert set(schema) <= known, f"this reader does not know {set(schema) - known}"
        types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
        wanted = schema.get("type", [])
        wanted = [wanted] if isinstance(wanted, str) else wanted

        def is_type(name):
            if name in ("number", "integer"):
                return (
                    isinstance(value, (int, float))
                    and not isinstance(value, bool)
                    and (name == "number" or float(value).is_integer())
                )
            return isinstance(value, types[name])

        if wanted and not any(map(is_type, wanted)):
            yield f"{where}: {value!r} is no {wanted}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r} is none of {schema['enum']}"
        if "const" in schema and value != schema["const"]:
            yield f"{where}: {value!r} is not {schema['const']!r}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < schema.get("minimum", value) or value > schema.get("maximum", value):
                yield f"{where}: {value} is out of range"
        for part in schema.get("allOf", []):
            yield from self.faults(value, part, where)
        if "anyOf" in schema and all(list(self.faults(value, s, where)) for s in schema["anyOf"]):
            yield f"{where}: {value!r} fits none of its forms"
        if isinstance(value, list):
            for i, item in enumerate(value):
                yield from self.faults(item, schema.get("items", {}), f"{where}[{i}]")
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            yield from (
                f"{where}: {name} is missing"
                for name in schema.get("required", [])
                if name not in value
            )
            for name, item in value.items():
                if "propertyNames" in schema:
                    yield from self.faults(name, schema["propertyNames"], f"{where}.{name}")
                rest = schema.get("additionalProperties", True)
                if name in properties:
                    yield from self.faults(item, properties[name], f"{where}.{name}")
                elif rest is False:
                    yield f"{where}: {name} is not known"
                elif isinstance(rest, dict):
                    yield from self.faults(item, rest, f"{where}.{name}")
