"""The server tool `gateway:roman`, in Python: numbers as the Romans wrote them."""

from tidegate import Plugin, Problem

plugin = Plugin("roman", "0.1.0")

NUMERALS = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]  # fmt: skip


@plugin.tool(
    "roman",
    "Writes a number from 1 to 3999 as the Romans did.",
    {"number": {"type": "integer", "description": "The number."}},
    required=["number"],
    options={"max": {"type": "integer", "description": "No number above this."}},
)
def roman(input, options):
    number, most = input["number"], options.get("max", 3999)
    if not isinstance(number, int) or not 1 <= number <= most:
        raise Problem(f"`number` must be from 1 to {most}")
    written = ""
    for value, letters in NUMERALS:
        times, number = divmod(number, value)
        written += letters * times
    return written


# what componentize-py looks for
WitWorld = plugin.world()
