"""The suite `claude-code`: Claude Code plays a session with tools and a sub-agent through every door.

The model is a directed one: the prompt says which tools it calls, turn by turn. Other sessions go to an alias whose
first target dies in the middle, and to one whose targets die after one turn each, so that every turn goes to another
door. `/context` must count through the gateway.
"""

import json
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace

from claude_code import MODEL, THINKER, Claude

import check_sessions
from client import Client
from doors import DOORS

GROUP = "claude-code"
AT_ONCE = 3
# of one run of Claude Code, on a busy machine
PATIENCE = 90
TOOLS = "Write,Read,Bash,Agent"
# the first target's end, by the door's place in the table
FAULTS = ("529-3", "cut-4", "500-5")
# doors that seal reasoning, and must get it back
SEALS = set(DOORS) - {"chat-openai"}
# doors whose provider counts this model; the gateway estimates for the others
COUNTS = {"chat-openai", "responses", "gemini", "gemini-vertex", "bedrock-mantle", "vertex", "foundry"}


@dataclass
class Play:
    """One session: its targets, and everything that it left."""

    name: str
    model: str
    targets: list
    events: list = field(default_factory=list)
    status: int = 0
    trouble: str = ""
    files: dict = field(default_factory=dict)
    context: str = ""
    counted: int = 0
    # the requests that reached each target
    seen: list = field(default_factory=list)


def step(*calls):
    return " ".join(f"[sim: call {name} {json.dumps(given)}]" for name, given in calls)


def script(work):
    """The calls of the session turn by turn, and of the sub-agent."""
    helper = [[("Bash", {"command": f"cat {work}/tide.txt > {work}/helper.txt; echo tide-$((40+2))", "description": "Reads"})]]
    prompt = f"Look at the tide. {step(*helper[0])}"
    tide = {"file_path": f"{work}/tide.txt"}
    second = {"file_path": f"{work}/second.txt", "content": "ebb [at] six\n"}
    turns = [
        [("Write", {**tide, "content": "high at noon\n"})],
        [("Read", tide)],
        [("Bash", {"command": f"echo \"sea of $(cat {work}/tide.txt)\" | tee {work}/bash.txt", "description": "Echoes"})],
        [("Bash", {"command": f"echo both > {work}/first.txt", "description": "Writes"}), ("Write", second)],
        [("Agent", {"description": "Look at the tide", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": False})],
    ]
    return turns, helper


def prompt_of(turns):
    return "Play the session. " + " [sim: then] ".join(step(*calls) for calls in turns)


def play(stage, program, one):
    """Runs one session; fills in what it left."""
    # with two targets, `warn` would prefer the one that supports more of Claude Code's requests
    strictness = "warn" if len(one.targets) == 1 else "off"
    with stage.gateway(one.targets[0].scenario, one.targets, strictness=strictness) as (url, place):
        claude = Claude(program, SimpleNamespace(url=url, key="none"), place)
        claude.patience = PATIENCE
        turns, _ = script(claude.work)
        try:
            one.events, _, one.status = claude.ask(prompt_of(turns), "--allowedTools", TOOLS, model=one.model)
            if len(one.targets) == 1:
                before = answered(place)
                one.context = context(claude, one)
                one.counted = answered(place) - before
        except (AssertionError, subprocess.TimeoutExpired, OSError, ValueError) as error:
            one.trouble = f"{type(error).__name__}: {error}"
        one.files = {file.name: file.read_text() for file in claude.work.iterdir() if file.is_file()}
        one.work, one.outside = claude.work, list(claude.outside.asked)
    return one


def context(claude, one):
    events, _, status = claude.ask("/context", model=one.model)
    end = events[-1]
    return end["result"] if (status, end["is_error"]) == (0, False) else f"status {status}: {end}"


def answered(place):
    """How many requests the gateway answered with 200, counts of tokens among them."""
    admin = json.loads((place / "tidegate.yaml").read_text())["admin"]["listen"]
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("tidegate_requests_total") and 'status="200"' in line]
    return int(sum(float(line.split()[-1]) for line in found))


# the checks: each returns why it does not hold, or nothing


def differ(found, wanted):
    return None if found == wanted else f"found {found!r}, wanted {wanted!r}"


def ends_well(one):
    if one.trouble:
        return one.trouble
    end = one.events[-1]
    found = one.status, end["is_error"], end["subtype"]
    return differ(found, (0, False, "success")) or (None if "tide-42" in end["result"] else f"the result is {end['result']!r}")


def files(one):
    wanted = {
        "tide.txt": "high at noon\n",
        "bash.txt": "sea of high at noon\n",
        "first.txt": "both\n",
        "second.txt": "ebb [at] six\n",
        "helper.txt": "high at noon\n",
    }
    return differ(one.files, wanted)


def refused(one):
    """What the judges refused, of all targets."""
    wrong = [entry["verdict"] for seen in one.seen for entry in seen if entry["verdict"] != "accepted"]
    return f"{len(wrong)} refused: {wrong[0]}" if wrong else None


def asked(seen):
    return [entry for entry in seen if entry["form"] in ("stream", "whole") and "talk" in entry["notes"]]


def conversations(one):
    """The requests of the main conversation and of the sub-agent, by their text, in order of arrival."""
    found = sorted((entry for seen in one.seen for entry in asked(seen)), key=lambda entry: entry["notes"]["number"])
    return [[entry for entry in found if entry["notes"]["talk"]["text"].startswith(text)] for text in ("Play the session.", "Look at the tide.")]


def history_fault(entries, turns):
    """Why the calls and results of a conversation are not those of the script, in order, each result with its call's id."""
    calls = [(entry[2], entry[3]) for entry in entries if entry[0] == "call"]
    wanted = [(name, given) for turn in turns for name, given in turn]
    if calls != wanted:
        return f"the calls are {calls}, not {wanted}"
    ids = [entry[1] for entry in entries if entry[0] == "call"]
    if len(set(ids)) != len(ids):
        return f"ids repeat: {ids}"
    shape, position = [entry[:2] for entry in entries if entry[0] in ("call", "result")], 0
    for turn in turns:
        mine = ids[position : position + len(turn)]
        expected = [["call", id] for id in mine] + [["result", id] for id in mine]
        found = shape[2 * position : 2 * (position + len(turn))]
        # a dialect without borders between turns says call, result, call, result of one turn
        if found != expected and found != [pair for id in mine for pair in (["call", id], ["result", id])]:
            return f"a turn is {found}, not {expected}"
        position += len(turn)
    return None


def upstream_history(one):
    turns, _ = script(one.work)
    main, _ = conversations(one)
    if not main:
        return "no request of the conversation arrived"
    entries = main[-1]["notes"]["talk"]["entries"]
    if fault := history_fault(entries, turns):
        return fault
    results = [entry[3] for entry in entries if entry[0] == "result"]
    parts = ("", "high at noon", "sea of high at noon", "", "", "tide-42")
    absent = [part for part, result in zip(parts, results) if part not in result]
    return f"results {results} lack {absent}" if absent or len(results) != len(parts) else None


def helper_history(one):
    """The sub-agent's conversation has its own calls only, and Claude Code shows them below the call of the agent."""
    _, helper = conversations(one)
    if not helper:
        return "no request of the sub-agent arrived"
    entries = helper[-1]["notes"]["talk"]["entries"]
    if fault := history_fault(entries, script(one.work)[1]):
        return fault
    blocks = [(event.get("parent_tool_use_id"), block) for event in one.events if event["type"] == "assistant" for block in event["message"]["content"]]
    agents = [block["id"] for _, block in blocks if block["type"] == "tool_use" and block["name"] == "Agent"]
    inner = [parent for parent, block in blocks if block["type"] == "tool_use" and parent is not None]
    return differ(inner, agents)


def turns_sent(one):
    """Each turn is one upstream request: nothing was refused, degraded and sent again."""
    return differ([[entry["notes"]["talk"]["rounds"] for entry in found] for found in conversations(one)], [[0, 1, 2, 3, 4, 5], [0, 1]])


def reasoning_back(one):
    main, _ = conversations(one)
    door = one.targets[0].door
    found = [entry["notes"]["talk"]["sealed"] for entry in main]
    return None if door not in SEALS or found and found[-1] > 0 else f"no reasoning came back to {door}: {found}"


def context_shown(one):
    has_all = all(part in one.context for part in ("Context Usage", "ystem prompt", "Messages"))
    return None if has_all else f"found {one.context[:300]!r}"


def context_counted(one):
    if one.counted < 5:
        return f"the gateway answered {one.counted} counts with 200"
    native = [entry for entry in one.seen[0] if entry["form"] == "count"]
    should = one.targets[0].door in COUNTS
    return None if bool(native) == should else f"{len(native)} counts arrived at {one.targets[0].door}"


def went_over(one):
    """The first target answered some turns and failed then; the second answered all the rest."""
    first, second = ([entry["notes"].get("fault") for entry in asked(seen)] for seen in one.seen)
    good = first.count(None)
    planned = int(one.targets[0].scenario.split("-")[2]) - 1
    if good != planned:
        return f"the first target answered {good} turns, not {planned}"
    if good == len(first):
        return "the first target never failed"
    return differ((second.count(None), len(second)), (8 - planned, 8 - planned))


def turned(one):
    """Every target answered one turn and failed at the next; the last ones were not needed."""
    good = [[entry["notes"].get("fault") for entry in asked(seen)].count(None) for seen in one.seen]
    return differ(good, [1] * 8 + [0] * (len(good) - 8))


def nobody_else(one):
    return differ(one.outside, [])


SESSION = [
    ("the session ends well, with the sub-agent's answer", ends_well),
    ("the files are there with their content", files),
    ("the upstream refused nothing", refused),
    ("calls and results arrived in order, with matching ids", upstream_history),
    ("the sub-agent's conversation is its own", helper_history),
    ("talked to the gateway only", nobody_else),
]
ALONE = [
    ("each turn is one request", turns_sent),
    ("sealed reasoning came back", reasoning_back),
    ("/context shows the usage", context_shown),
    ("/context counted through the gateway", context_counted),
]
DYING = [("the second target took over in the middle", went_over)]
TURNING = [("each turn went to another door", turned)]


def plays(stage):
    """Pairs of a session and its own checks: each door alone, each door dying in the middle, and all doors in turn."""
    doors = list(DOORS)
    alone = [Play(door, (MODEL, THINKER)[n % 2], [stage.target(door)]) for n, door in enumerate(doors)]
    dying = []
    for n, door in enumerate(doors):
        fault, after = FAULTS[n % len(FAULTS)], doors[(n + 4) % len(doors)]
        name = f"{door} ({fault.partition('-')[0]}), then {after}"
        dying.append(Play(name, (THINKER, MODEL)[n % 2], [stage.target(door, fault), stage.target(after)]))
    # from its second request on every target is dead
    turning = [
        Play(name, model, [stage.target(door, "529-2") for door in order])
        for name, model, order in (("all doors", MODEL, doors), ("all doors backwards", THINKER, doors[::-1]))
    ]
    return [*((one, ALONE) for one in alone), *((one, DYING) for one in dying), *((one, TURNING) for one in turning)]


def run(stage, program, report):
    found = plays(stage)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda pair: play(stage, program, pair[0]), found))
    log = Client(stage.url).get("/__verdicts")
    for number, entry in enumerate(log):
        entry["notes"]["number"] = number
    for one, own in found:
        one.seen = [stage.seen(log, target) for target in one.targets]
        for sentence, check in SESSION + own:
            report.check(GROUP, f"{one.name}: {sentence}", check, one)
    check_sessions.run(report, GROUP, found, SESSION)
