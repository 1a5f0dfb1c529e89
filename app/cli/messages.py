"""Condenses an error about the configuration to one line; jsonargparse nests a message for every type it tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

ENVELOPES = tuple(
    re.compile(pattern)
    for pattern in (
        r'Parser key "(?P<key>[^"]+)": ?',
        r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: ?",
        r"Expected a path but \S+ either not accessible or invalid ?",
    )
)
"""What wraps the message itself; `key` is a part of the name of the setting."""

TAIL = re.compile(r" (Expected a <class 'NoneType'>|Given value( type)?: |Not a valid subclass of ).*")
UNKNOWN = re.compile(r"(?:Group '(?P<group>[^']+)' does not accept option|Option) '(?P<name>[^']+)'")
UNRECOGNIZED = re.compile(r"unrecognized arguments: (?P<word>\S+)", re.IGNORECASE)
REQUIRED = re.compile(r"the following arguments are required: (?P<name>[\w.]+)")
OF_LIGHTNING = re.compile(r"`(?:Trainer\()?(\w+)[`=(]|(?<= for )(\w+)(?=, it has)")
"""How Lightning names a setting of the trainer: `devices`, `Trainer(devices='0')`, 1.5 for val_check_interval, it."""

RENAMED = {"Timer": "max_time"}
"""What Lightning makes of a setting of the trainer -> the setting."""

OF_A_CLASS = re.compile(r"(?P<name>\w+): ")
MISSING = re.compile(r"argument --(?P<key>[\w.]+): expected one argument")
EXPECTED = re.compile(r"Expected a (?:<class '(?P<type>[\w.]+)'>|typing\.Literal\[(?P<words>[^]]*)\])\.?")
VALUE = re.compile(r"(?:Got|Given) value: (?P<value>.*?)(?= Expected a | Given value|$)")
CLASS = re.compile(
    r"Expected a dot import path string: (?P<word>\S+)|given class_path '(?P<path>[^']+)'|"
    r"callable class: .*?(?:Got|Given) value: (?:Namespace\(class_path=')?(?P<function>[\w.]+)"
)


def one_line(message: str, names: Sequence[str] = (), classes: Mapping[str, Sequence[str]] | None = None) -> str:
    """Returns the setting, what is wrong with it, and what would be right.

    Args:
        message: of jsonargparse or of a constructor, on any number of lines.
        names: all settings by full name, for suggestions.
        classes: which classes may stand at a setting that takes one.
    """
    key, text = unwrap(message)
    if unknown := UNKNOWN.match(text):
        return unknown_setting(".".join(filter(None, (key, unknown["group"], unknown["name"]))), names)
    if unrecognized := UNRECOGNIZED.match(text):
        if not unrecognized["word"].startswith("--"):
            return f"{unrecognized['word']!r}: a word that no option takes"
        return unknown_setting(re.split(r"\+?=", unrecognized["word"])[0].removeprefix("--"), names)
    if missing := MISSING.match(text):
        return f"{missing['key']}: a value is missing, here or in one of its settings"
    if wrong := CLASS.search(text):
        return unknown_class(key, next(filter(None, wrong.groups())), classes or {})
    if EXPECTED.match(text):
        text = wrong_type(text)
    if required := REQUIRED.match(text):
        return f"{'.'.join(filter(None, (key, required['name'])))}: has to be given"
    return f"{key}: {TAIL.sub('', text)}" if key else with_full_name(TAIL.sub("", text), names)


def with_full_name(text: str, names: Sequence[str]) -> str:
    """Returns a constructor's message about its argument (`lr: ...`) with the full name of the setting."""
    argument = OF_A_CLASS.match(text)
    known = [name for name in names if name.endswith(f".{argument['name']}")] if argument else []
    unsaid = argument and len(known) == 1 and known[0] not in text
    return f"{known[0]}{text[argument.end('name') :]}" if argument and unsaid else text


def of_the_trainer(message: str, names: Sequence[str]) -> str:
    """Returns a message of Lightning behind the full name of the setting that it is about, as far as it tells."""
    said = (RENAMED.get(word, word) for match in OF_LIGHTNING.findall(message) for word in match)
    known = (f"trainer.{word}" for word in said if f"trainer.{word}" in names)
    return f"{next(known, 'trainer')}: {message}"


def unwrap(message: str) -> tuple[str, str]:
    """Returns the full name of the setting, as far as the message tells, and the innermost message."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", message).splitlines()
    text = " ".join(" ".join(line.strip().removeprefix("- ") for line in lines).split())
    keys = []
    while envelope := next(filter(None, (pattern.match(text) for pattern in ENVELOPES)), None):
        keys.append(envelope.groupdict().get("key"))
        text = text[envelope.end() :]
    return ".".join(filter(None, keys)), text


def unknown_setting(name: str, names: Sequence[str]) -> str:
    """Returns a message with the closest of `names`; a name may lack its first words."""
    if name in names:
        return f"{name}: not a setting of the class chosen there"
    same_end = [known for known in names if known.endswith(f".{name}")]
    return f"{name}: no such setting{suggestion(name, same_end or names)}"


def suggestion(word: str, words: Iterable[str], quote: str = "") -> str:
    """Returns `; did you mean ...?`, or nothing if no word is close."""
    words = list(words)
    close = words if len(words) == 1 else get_close_matches(word, words, n=1)
    return f"; did you mean {quote}{close[0]}{quote}?" if close else ""


def unknown_class(key: str, word: str, classes: Mapping[str, Sequence[str]]) -> str:
    """Returns a message with the classes that the setting accepts."""
    if key not in classes:
        return f"{key}: expected settings by name, got {word!r}"
    return f"{key}: no class {word!r}; there are {', '.join(classes[key])}"


def wrong_type(text: str) -> str:
    """Returns `expected int, got 'four'` for one or several `Expected a <class 'int'>`."""
    value = VALUE.search(text)
    accepted = []
    for match in EXPECTED.finditer(text):
        if match["words"]:
            accepted.append("one of " + match["words"].replace("'", ""))
        elif match["type"] != "NoneType":
            accepted.append(match["type"].rpartition(".")[2])
    return f"expected {' or '.join(accepted)}" + (f", got {value['value']!r}" if value else "")
