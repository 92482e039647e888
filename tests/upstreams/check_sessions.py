"""Checks the checks of `sessions.py`: each finds the fault in a copy of a real session that was distorted for it."""

import copy


def last_history(one):
    """The entries of the last request of the main conversation."""
    main = [entry for seen in one.seen for entry in seen if entry["notes"].get("talk", {}).get("text", "").startswith("Play")]
    return max(main, key=lambda entry: entry["notes"]["number"])["notes"]["talk"]["entries"]


def lose_the_answer(one):
    one.events[-1]["result"] = "nothing"


def exit_badly(one):
    one.status = 1


def lose_a_file(one):
    del one.files["helper.txt"]


def refuse(one):
    one.seen[0][0]["verdict"] = {"status": 400, "message": "no"}


def swap_ids(one):
    results = [entry for entry in last_history(one) if entry[0] == "result"]
    results[3][1], results[4][1] = results[4][1], results[3][1]


def change_an_input(one):
    next(entry for entry in last_history(one) if entry[0] == "call")[3]["content"] = "low at noon"


def lose_a_result(one):
    next(entry for entry in last_history(one) if entry[0] == "result")[2:] = ["Write", "", False]
    [entry for entry in last_history(one) if entry[0] == "result"][1][3] = ""


def mix_agents(one):
    for event in one.events:
        event["parent_tool_use_id"] = None


def go_outside(one):
    one.outside.append("CONNECT sea.example:443")


def send_twice(one):
    one.seen[0].append(copy.deepcopy([entry for entry in one.seen[0] if "talk" in entry["notes"]][-1]))


def lose_reasoning(one):
    for entry in one.seen[0]:
        entry["notes"].get("talk", {})["sealed"] = 0


def lose_counts(one):
    one.seen[0] = [entry for entry in one.seen[0] if entry["form"] != "count"]


def count_elsewhere(one):
    one.counted = 0


def hide_context(one):
    one.context = "Unknown command"


def never_fail(one):
    one.seen[0] = [entry for entry in one.seen[0] if "fault" not in entry["notes"]]


def stay(one):
    one.seen[0] += one.seen[1]


# by the kind of session: the check's sentence, and the faults that it must find
FAULTS = {
    "the session ends well, with the sub-agent's answer": (lose_the_answer, exit_badly),
    "the files are there with their content": (lose_a_file,),
    "the upstream refused nothing": (refuse,),
    "calls and results arrived in order, with matching ids": (swap_ids, change_an_input, lose_a_result),
    "the sub-agent's conversation is its own": (mix_agents,),
    "talked to the gateway only": (go_outside,),
    "each turn is one request": (send_twice,),
    "sealed reasoning came back": (lose_reasoning,),
    "/context shows the usage": (hide_context,),
    "/context counted through the gateway": (lose_counts, count_elsewhere),
    "the second target took over in the middle": (never_fail, stay),
    "each turn went to another door": (stay,),
}


def found_by(check, one, distort):
    """Why the check does not find this fault, or nothing."""
    copied = copy.deepcopy(one)
    distort(copied)
    try:
        return None if check(copied) else "the check finds nothing"
    except Exception:  # a check may fail in any way
        return None


def run(report, group, plays, session):
    """`plays`: pairs of a session and its own checks; `session`: the checks of all sessions."""
    # of each kind one that went well: Foundry counts and seals
    kinds = {id(own): (one, own) for one, own in plays if one.targets[0].door == "foundry"}
    for at, (one, own) in enumerate(kinds.values()):
        for sentence, check in own if at else session + own:
            for distort in FAULTS[sentence]:
                name = distort.__name__.replace("_", " ")
                report.add(group, f"the check `{sentence}` finds a fault ({name})", found_by(check, one, distort))
