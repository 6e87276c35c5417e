"""Checks recorded messages against the schemas of an AsyncAPI document, and the document against AsyncAPI's own schema.

    validate.py DOCUMENT MESSAGES [META]

DOCUMENT: what `roomd asyncapi` prints. MESSAGES: lines `topic<TAB>payload`. META: the schema of AsyncAPI 3.0.
Prints one line `ok CHANNEL COUNT` a channel; whatever does not fit is an error.
"""
import json
import re
import sys
from collections import Counter

from jsonschema import Draft7Validator, FormatChecker

document = json.load(open(sys.argv[1]))
faults, seen = [], Counter()

if len(sys.argv) > 3:
    meta = json.load(open(sys.argv[3]))
    for error in Draft7Validator(meta).iter_errors(document):
        faults.append(f"the document: {list(error.absolute_path)}: {error.message[:300]}")


def resolved(node):
    while "$ref" in node:
        found = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def pattern(address):
    parts = [re.escape(part) if not part.startswith("{") else "[^/]+" for part in re.split(r"(\{[a-z]+\})", address)]
    return re.compile("".join(parts))


channels = []
for name, channel in document["channels"].items():
    address = channel["address"] or "roomd/v1/{fleet}/c/{client}/{place}"
    messages = [resolved(message) for message in channel["messages"].values()]
    for message in messages:
        Draft7Validator.check_schema(message["payload"])
    validators = [
        (message, Draft7Validator({"allOf": [message["payload"]], "components": document["components"]},
                                  format_checker=FormatChecker()))
        for message in messages
    ]
    channels.append((name, pattern(address), validators))

for line in open(sys.argv[2], encoding="utf-8"):
    topic, _, payload = line.rstrip("\n").partition("\t")
    found = [(name, validators) for name, address, validators in channels if address.fullmatch(topic)]
    if not found:
        faults.append(f"{topic}: no channel has this address")
        continue
    (name, validators), *more = found
    if more:
        faults.append(f"{topic}: more than one channel: {name}, {more[0][0]}")
    seen[name] += 1
    # Empty: a retained document was removed, or a command without parameters.
    if payload == "":
        continue
    for message, validator in validators:
        value = payload if message["contentType"] == "text/plain" else json.loads(payload)
        for error in validator.iter_errors(value):
            faults.append(f"{topic}: {list(error.absolute_path)}: {error.message[:300]}")

for name, count in sorted(seen.items()):
    print("ok", name, count)
if faults:
    sys.exit("\n".join(faults[:40]))
