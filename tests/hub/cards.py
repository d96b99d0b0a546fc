"""What a hub refuses in a card's header: the rules of the model card specification, as far as they are about form.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md and the lists of tasks and licences that it points to.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

TASKS = {
    *("text-classification", "image-classification", "text-generation", "tabular-regression", "tabular-classification"),
    *("token-classification", "question-answering", "summarization", "translation", "feature-extraction", "other"),
}
LICENCES = {
    "apache-2.0",
    "mit",
    "cc-by-4.0",
    "cc-by-3.0",
    "cc-by-sa-4.0",
    "bsd-3-clause",
    "openrail",
    "unknown",
    "other",
}
REPOSITORY = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
TEXTS = ("library_name", "pipeline_tag", "license")
LISTS = ("tags", "datasets", "metrics", "language", "base_model")


def card_errors(content: str) -> list[str]:
    """Everything that is wrong with a card's header; none for a good one.

    Args:
        content: of README.md.
    """
    found = re.match(r"\A---\n(.*?)\n---\n", content, re.DOTALL)
    if not found:
        return ["there is no header"]
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"the header is not YAML: {error}"]
    if not isinstance(header, dict):
        return ["the header is not a mapping"]
    errors = [f'"{key}" must be a string' for key in TEXTS if key in header and not isinstance(header[key], str)]
    for key in LISTS:
        values = header.get(key, [])
        if not all(isinstance(value, str) and value for value in (values if isinstance(values, list) else [values])):
            errors.append(f'"{key}" must be strings')
    for key in ("base_model", "datasets"):
        values = header.get(key, [])
        for value in values if isinstance(values, list) else [values]:
            if not REPOSITORY.fullmatch(str(value)):
                errors.append(f'"{key}": {value!r} is no repository')
    if header.get("pipeline_tag", "other") not in TASKS:
        errors.append(f'"pipeline_tag" {header["pipeline_tag"]!r} is no task')
    if header.get("license", "other") not in LICENCES:
        errors.append(f'"license" {header["license"]!r} is no licence')
    return errors + _index_errors(header.get("model-index", []))


def _index_errors(index: Any) -> list[str]:
    if not isinstance(index, list):
        return ['"model-index" must be a list']
    errors = []
    for entry in index:
        if not isinstance(entry.get("name"), str) or not isinstance(entry.get("results"), list):
            errors.append('"model-index" needs a name and results')
            continue
        for result in entry["results"]:
            wanted = {"task": ("type",), "dataset": ("name", "type")}
            for part, keys in wanted.items():
                if not all(isinstance(result.get(part, {}).get(key), str) for key in keys):
                    errors.append(f'"model-index": a result needs {part} with {", ".join(keys)}')
            if not result.get("metrics"):
                errors.append('"model-index": a result needs metrics')
            errors += [
                f'"model-index": metric {metric.get("type")!r} needs type and value'
                for metric in result.get("metrics", [])
                if not isinstance(metric.get("type"), str) or not isinstance(metric.get("value"), int | float | str)
            ]
    return errors
