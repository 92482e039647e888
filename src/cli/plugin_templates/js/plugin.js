// The server tool `gateway:TOOL`: throws a die.
import { Problem } from "./tidegate.js";

export default {
  name: "NAME",
  version: "0.1.0",
  tools: {
    TOOL: {
      description: "Throws a die and tells the number.",
      // what the model gives
      input: { sides: { type: "integer", minimum: 1, description: "How many sides the die has." } },
      required: ["sides"],
      // what the declaration of the tool may hold: bounds that the model cannot widen
      options: { max_sides: { type: "integer", description: "No die with more sides than this." } },
      run({ sides }, { max_sides: most = 100 }, host) {
        if (!Number.isInteger(sides) || sides < 1 || sides > most) {
          throw new Problem(`\`sides\` must be from 1 to ${most}`);
        }
        return String((host.clock() % BigInt(sides)) + 1n);
      },
    },
  },
};
