"""Run natively, against a stand-in for the gateway: `python3 -m unittest`."""

import unittest

from app import plugin
from tidegate import MockHost, Problem


class Dice(unittest.TestCase):
    def test_a_die_shows_one_of_its_sides(self):
        self.assertEqual(MockHost(clock=7).call_tool(plugin, "TOOL", {"sides": 6}), "2")

    def test_the_declaration_bounds_what_the_model_may_ask_for(self):
        with self.assertRaisesRegex(Problem, "`sides` must be from 1 to 6"):
            MockHost().call_tool(plugin, "TOOL", {"sides": 9}, {"max_sides": 6})


if __name__ == "__main__":
    unittest.main()
