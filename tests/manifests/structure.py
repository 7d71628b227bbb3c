"""Objects of custom resources against the definitions (CRDs) that their projects publish.

A structural schema drops fields that it does not name; here such a field is an error, as it is a
word that was meant to do something.
"""
import functools
import json
import pathlib
import shutil
import subprocess

import jsonschema
import yaml

LIST = pathlib.Path(__file__).resolve().parent / "definitions.txt"
# What each project's definition would hold at the least, where the module cannot be had.
LEAST = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ("selector", "endpoints"),
    ("monitoring.coreos.com/v1", "PrometheusRule"): ("groups",),
    ("keda.sh/v1alpha1", "ScaledObject"): ("scaleTargetRef", "triggers"),
    ("inference.networking.k8s.io/v1", "InferencePool"): ("targetPorts", "selector",
                                                          "endpointPickerRef"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): ("parentRefs", "rules"),
}


def strict(schema):
    """The same as JSON Schema that refuses what is not named."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            out[key] = {name: strict(item) for name, item in value.items()}
        elif key in ("enum", "default", "example", "required"):
            out[key] = value
        elif not key.startswith("x-kubernetes-") and key not in ("description", "format"):
            out[key] = strict(value)
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if ("properties" in out and "additionalProperties" not in out
            and not schema.get("x-kubernetes-preserve-unknown-fields")):
        out["additionalProperties"] = False
    return out


class Loader(yaml.SafeLoader):
    """YAML 1.2 has no value `=`, which definitions name as text."""


Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)


@functools.lru_cache
def module_folder(module):
    """Where its files lie, or None where it cannot be had."""
    if shutil.which("go") is None:
        return None
    done = subprocess.run(["go", "mod", "download", "-json", module], cwd="/", capture_output=True,
                          text=True)
    return pathlib.Path(json.loads(done.stdout)["Dir"]) if done.returncode == 0 else None


def files():
    """(module, path or None) of each definition, out of the modules' own files."""
    for line in LIST.read_text().splitlines():
        module, inside = line.split()
        folder = module_folder(module)
        yield module, folder and folder / inside


def definitions():
    """({(apiVersion, kind): strict schema}, modules that cannot be had)."""
    schemas, missing = {}, set()
    for module, path in files():
        if path is None:
            missing.add(module)
            continue
        spec = yaml.load(path.read_text(), Loader)["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas, sorted(missing)


def key_of(item):
    return item["apiVersion"], item["kind"]


def faults(item, schemas):
    """What is wrong with a custom resource, one line each."""
    key = key_of(item)
    if key not in schemas:
        return [f"spec.{name} is missing" for name in LEAST[key] if name not in item["spec"]]
    validator = jsonschema.Draft7Validator(schemas[key])
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in validator.iter_errors(item)]
