"""The server tool `gateway:TOOL`: throws a die."""

from tidegate import Plugin, Problem, host

plugin = Plugin("NAME", "0.1.0")


@plugin.tool(
    "TOOL",
    "Throws a die and tells the number.",
    # the input from the model, and the options in the tool's declaration: limits that the model cannot raise
    {"sides": {"type": "integer", "minimum": 1, "description": "The number of sides of the die."}},
    required=["sides"],
    options={"max_sides": {"type": "integer", "description": "The most sides that the die may have."}},
)
def throw(input, options):
    sides, most = input["sides"], options.get("max_sides", 100)
    if not isinstance(sides, int) or not 1 <= sides <= most:
        raise Problem(f"`sides` must be from 1 to {most}")
    return str(host.clock() % sides + 1)


# the name that componentize-py requires
WitWorld = plugin.world()
