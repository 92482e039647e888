// The server tool `gateway:TOOL`: throws a die.
import { Problem } from "./tidegate.js";

export default {
  name: "NAME",
  version: "0.1.0",
  tools: {
    TOOL: {
      description: "Throws a die and tells the number.",
      // the input from the model
      input: { sides: { type: "integer", minimum: 1, description: "The number of sides of the die." } },
      required: ["sides"],
      // the options in the tool's declaration: limits that the model cannot raise
      options: { max_sides: { type: "integer", description: "The most sides that the die may have." } },
      run({ sides }, { max_sides: most = 100 }, host) {
        if (!Number.isInteger(sides) || sides < 1 || sides > most) {
          throw new Problem(`\`sides\` must be from 1 to ${most}`);
        }
        return String((host.clock() % BigInt(sides)) + 1n);
      },
    },
  },
};
