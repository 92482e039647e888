"""The server tool `gateway:TOOL`: throws a die."""

from tidegate import Plugin, Problem, host

plugin = Plugin("NAME", "0.1.0")


@plugin.tool(
    "TOOL",
    "Throws a die and tells the number.",
    # what the model gives, and what the declaration of the tool may hold: bounds that the model cannot widen
    {"sides": {"type": "integer", "minimum": 1, "description": "How many sides the die has."}},
    required=["sides"],
    options={"max_sides": {"type": "integer", "description": "No die with more sides than this."}},
)
def throw(input, options):
    sides, most = input["sides"], options.get("max_sides", 100)
    if not isinstance(sides, int) or not 1 <= sides <= most:
        raise Problem(f"`sides` must be from 1 to {most}")
    return str(host.clock() % sides + 1)


# what componentize-py looks for
WitWorld = plugin.world()
