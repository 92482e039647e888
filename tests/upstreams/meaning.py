"""Compares an answer, reduced to neutral parts, with the meaning of a scenario."""

import json


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} … {text[-80:]} ({len(text)} characters)"


# a block of reasoning without text carries a signature only
CARRIER = ("thinking", "")


def block_fault(found, wanted):
    """Why the blocks differ, or nothing. `...` in a wanted block stands for any value. Carriers count where one is wanted."""
    if CARRIER not in wanted:
        found = [block for block in found if tuple(block[:2]) != CARRIER]
    if len(found) != len(wanted):
        return f"expected {len(wanted)} blocks {short(wanted)}, found {len(found)}: {short(found)}"
    for n, (have, want) in enumerate(zip(found, wanted)):
        if len(have) != len(want) or any(b is not ... and a != b for a, b in zip(have, want)):
            return f"block {n}: expected {short(want)}, found {short(have)}"
    return None


def usage_fault(found, wanted):
    """Why the counters differ, or nothing."""
    if not isinstance(wanted, dict):
        return None
    for name, number in wanted.items():
        have = found.get(name)
        if name == "thinking_tokens":
            have = (found.get("output_tokens_details") or {}).get("thinking_tokens", have)
        if (have or 0) != number:
            return f"usage.{name}: expected {number}, found {have}"
    return None


def joined(blocks):
    """Adjacent blocks of one kind as one, for readers that keep no borders."""
    found = []
    for block in blocks:
        if found and block[0] in ("text", "thinking") and found[-1][0] == block[0]:
            found[-1] = (block[0], found[-1][1] + block[1])
        else:
            found.append(block)
    return found


def parsed(text):
    """The input of a call, as a client parses its JSON; `{}` if there is none."""
    return json.loads(text) if text else {}
