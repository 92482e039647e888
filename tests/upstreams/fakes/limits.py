"""A request's verdict: the provider's own status and words for a request that it would refuse."""

import json
import re
from pathlib import Path


class Refused(Exception):
    """The request breaks a rule of the provider."""

    def __init__(self, message, status=400, code=None, param=None, type="invalid_request_error"):
        super().__init__(message)
        self.status, self.code, self.param, self.type = status, code, param, type


class Schemas:
    """The providers' own schemas, generated from their SDKs into a cache folder."""

    def __init__(self, place):
        self.place, self.known = Path(place), {}

    def validator(self, name):
        if name not in self.known:
            import jsonschema

            schema = json.loads((self.place / f"{name}.schema.json").read_text())
            self.known[name] = jsonschema.Draft202012Validator(schema)
        return self.known[name]

    def fault(self, name, value):
        """The deepest fault of `value` in words, or nothing."""
        errors = list(self.validator(name).iter_errors(value))
        if not errors:
            return None
        error = deepest(errors[0])
        where = "/".join(str(step) for step in error.absolute_path)
        return f"/{where}: {error.message[:300]}"


def deepest(error):
    """The branch of a union that came furthest, by its discriminating fields."""
    while error.context:
        branches = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)

        # a branch whose `type`, `role` or kind of value is wrong was not meant
        def distance(branch):
            wrong = sum(2 for e in branch if e.validator in ("const", "enum") or (e.validator == "type" and not e.path))
            return wrong, len(branch)

        best = min(branches.values(), key=distance)
        error = max(best, key=lambda e: len(e.absolute_path))
    return error


def is_object_schema(schema):
    return isinstance(schema, dict) and schema.get("type") == "object"


def breaks_strict(schema, where="schema"):
    """Why OpenAI's strict mode refuses this schema, or nothing."""
    if isinstance(schema, list):
        return next((fault for n, item in enumerate(schema) if (fault := breaks_strict(item, f"{where}[{n}]"))), None)
    if not isinstance(schema, dict):
        return None
    if "properties" in schema or schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"In context={where}, 'additionalProperties' is required to be supplied and to be false."
        absent = set(schema.get("properties", {})) - set(schema.get("required", []))
        if absent:
            return (
                f"In context={where}, 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{sorted(absent)[0]}'."
            )
    for key in (
        "oneOf",
        "allOf",
        "not",
        "minLength",
        "maxLength",
        "patternProperties",
        "minProperties",
        "maxProperties",
    ):
        if key in schema:
            return f"In context={where}, '{key}' is not permitted."
    for key in ("properties", "$defs"):
        for name, inner in schema.get(key, {}).items():
            if fault := breaks_strict(inner, f"{where}.{name}"):
                return fault
    return breaks_strict(schema.get("items"), f"{where}[]") or breaks_strict(schema.get("anyOf"), where)


def strings(value):
    """Every string inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def matches(pattern, text):
    return isinstance(text, str) and re.fullmatch(pattern, text) is not None
