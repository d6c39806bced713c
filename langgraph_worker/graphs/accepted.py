"""What a type of Python accepts of JSON, as a JSON Schema that says no more than what pydantic refuses for sure.

Pydantic's own JSON Schema describes what should be given. A run takes more: names by their aliases, what a validator
makes of another value, texts that are cut to their length. So the schema is made of pydantic's core schema, which says
where these stand. What is not understood there accepts everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, EnumMeta, Flag
from typing import Any

from pydantic import TypeAdapter

_FORMATS = {"date": "date", "datetime": "date-time", "time": "time", "timedelta": "duration", "uuid": "uuid"}
"""Words for the reader; a format is not compared."""

_KINDS = {"list": "array", "set": "array", "frozenset": "array", "tuple": "array", "dict": "object"}
_KINDS |= {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "none": "null"}
_NUMBERS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_TEXTS = {"min_length": "minLength", "max_length": "maxLength"}
_LISTS = {"min_length": "minItems", "max_length": "maxItems"}
_CUTS = ("strip_whitespace", "to_lower", "to_upper")
_WRAPPERS = frozenset({"function-before", "function-after", "function-wrap", "nullable", "definitions"})


class Accepted:
    """Makes schemas of types that share their definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._cores: dict[str, Mapping[str, Any]] = {}

    def by_type(self, annotation: Any) -> dict[str, Any]:
        """The schema of a type; its references are to :attr:`definitions`.

        :raises Exception: pydantic cannot make a validator of it, or it raises while pydantic asks it.
        """
        return self._of(TypeAdapter(annotation).core_schema, {})

    def fields_of(self, model: type) -> tuple[dict[str, Any], list[str]]:
        """The schemas of a model's fields by name, and the names of those that may not be missing; nothing where a
        validator of the model's own may change them.

        :raises Exception: see :meth:`by_type`.
        """
        schema = self.by_type(model)
        name = schema.get("$ref", "").rpartition("/")[2]
        found = self.definitions[name] if name else schema
        return found.get("properties", {}), found.get("required", [])

    def _of(self, core: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        kind, config = core["type"], core.get("config", config)
        if kind == "definitions":
            return self._with_definitions(core, config)
        if kind == "definition-ref":
            name = self._names.get(core["schema_ref"])
            return {"$ref": f"#/$defs/{name}"} if name else {}
        if kind in ("function-after", "nullable", "default", "model", "dataclass"):
            return self._of_inner(core, kind, config)
        if kind in ("union", "tagged-union"):
            choices = core["choices"].values() if isinstance(core["choices"], dict) else core["choices"]
            return {"anyOf": [self._of(one[0] if isinstance(one, tuple) else one, config) for one in choices]}
        if kind in ("model-fields", "dataclass-args", "typed-dict"):
            return self._of_fields(core, config)
        if kind in ("literal", "enum"):
            return _choices(core)
        if kind in _FORMATS:
            return {"format": _FORMATS[kind]}
        return self._plain(core, kind, config) if kind in _KINDS else {}

    def _with_definitions(self, core: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        for one in core["definitions"]:
            self._cores[one["ref"]] = one
            wanted = name = getattr(one.get("cls"), "__name__", "Part")
            number = 1
            while name in self._names.values():
                number += 1
                name = f"{wanted}{number}"
            self._names[one["ref"]] = name
        for one in core["definitions"]:
            self.definitions[self._names[one["ref"]]] = self._of(one, config)
        return self._of(core["schema"], config)

    def _of_inner(self, core: Any, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        if kind == "model" and core.get("custom_init"):  # it may fill in what is missing
            return {}
        if kind == "default" and core.get("on_error", "raise") != "raise":
            return {}
        inner = self._of(core["schema"], config)
        if kind == "nullable":
            return {"anyOf": [inner, {"type": "null"}]} if inner else {}
        return inner

    def _of_fields(self, core: Any, config: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that have one name only. Fields of other names are not compared."""
        fields = core["fields"]
        named = fields if isinstance(fields, dict) else {one["name"]: one for one in fields}
        properties, required = {}, []
        for name, field in named.items():
            if "validation_alias" in field or field.get("init") is False:
                continue
            updates = (field.get("metadata") or {}).get("pydantic_js_updates") or {}
            words = {word: updates[word] for word in ("title", "description") if word in updates}
            properties[name] = words | self._of(field["schema"], config)
            is_wanted = field.get("required", core.get("total", True))
            if is_wanted and not self._has_default(field["schema"]):
                required.append(name)
        return {"type": "object", "properties": properties} | ({"required": required} if required else {})

    def _has_default(self, core: Any) -> bool:
        """Whether a field may be left out; also where that is not known."""
        for _ in range(100):
            if core["type"] == "definition-ref":
                core = self._cores.get(core["schema_ref"], {"type": "default"})
            elif core["type"] in _WRAPPERS:
                core = core["schema"]
            else:
                return core["type"] in ("default", "json-or-python", "lax-or-strict", "chain")
        return True

    def _plain(self, core: Any, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"type": _KINDS[kind]}
        if kind in ("int", "float"):
            return found | _limits(core, _NUMBERS)
        if kind == "str":
            if _is_set(core, config, "coerce_numbers_to_str", "coerce_numbers_to_str"):
                return {}
            is_cut = any(_is_set(core, config, one, f"str_{one}") for one in _CUTS)
            return found if is_cut else found | _limits(core, _TEXTS)
        if kind in ("set", "frozenset", "list"):
            found |= _limits(core, _LISTS) | ({} if kind == "list" else {"uniqueItems": True})
            items = self._of(core["items_schema"], config) if "items_schema" in core else {}
            return found | ({"items": items} if items else {})
        if kind == "tuple":
            places = [self._of(one, config) for one in core["items_schema"]]
            if core.get("variadic_item_index") is None:
                return found | {"prefixItems": places}
            return found | ({"items": places[0]} if len(places) == 1 else {})
        return found


def _is_set(core: Any, config: Mapping[str, Any], name: str, in_config: str) -> bool:
    return bool(core.get(name) or config.get(in_config))


def _limits(core: Any, words: Mapping[str, str]) -> dict[str, Any]:
    return {word: core[name] for name, word in words.items() if isinstance(core.get(name), int | float)}


def _choices(core: Any) -> dict[str, Any]:
    """The values of a ``Literal``, or of an enumeration that makes no members of other values."""
    if core["type"] == "literal":
        values = list(core["expected"])
    elif core.get("sub_type") in ("str", "int") and _has_its_members_alone(core["cls"]):
        values = list(core["cls"]._value2member_map_)
    else:
        return {}
    return {"enum": values} if all(type(one) in (str, int, bool, type(None)) for one in values) else {}


def _has_its_members_alone(kind: type[Enum]) -> bool:
    """Whether an enumeration refuses each value that is of no member. Flags add theirs up."""
    overrides = any("_missing_" in vars(base) for base in kind.__mro__ if base is not Enum)
    return type(kind) is EnumMeta and not issubclass(kind, Flag) and not overrides
