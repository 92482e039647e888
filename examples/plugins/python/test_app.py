"""Run natively, without a gateway: `python3 -m unittest`."""

import unittest

from app import plugin
from tidegate import MockHost, Problem


class Roman(unittest.TestCase):
    def test_a_number_is_written(self):
        for number, written in [(1, "I"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")]:
            self.assertEqual(MockHost().call_tool(plugin, "roman", {"number": number}), written)

    def test_what_has_no_numeral_is_a_problem_for_the_model(self):
        for number in [0, 4000, "ten"]:
            with self.assertRaisesRegex(Problem, "from 1 to 3999"):
                MockHost().call_tool(plugin, "roman", {"number": number})

    def test_the_operator_may_allow_less(self):
        with self.assertRaisesRegex(Problem, "from 1 to 10"):
            MockHost().call_tool(plugin, "roman", {"number": 11}, {"max": 10})


if __name__ == "__main__":
    unittest.main()
