// The server tool `gateway:units`, in JavaScript: lengths, weights and temperatures from one unit to another.
import { Problem } from "./tidegate.js";

const FACTORS = {
  length: { m: 1, km: 1000, cm: 0.01, mi: 1609.344, ft: 0.3048, in: 0.0254 },
  weight: { kg: 1, g: 0.001, lb: 0.45359237, oz: 0.028349523125 },
};
const KINDS = Object.values(FACTORS);
const UNITS = [...KINDS.flatMap(Object.keys), "c", "f"];

function convert(value, from, to) {
  if (from === "c" && to === "f") return value * 1.8 + 32;
  if (from === "f" && to === "c") return (value - 32) / 1.8;
  const kind = KINDS.find((units) => from in units && to in units);
  if (!kind) throw new Problem(`\`${from}\` cannot become \`${to}\`: use two of ${UNITS.join(", ")} of one kind`);
  return (value * kind[from]) / kind[to];
}

export default {
  name: "units",
  version: "0.1.0",
  tools: {
    units: {
      description: "Converts lengths, weights and temperatures.",
      input: {
        value: { type: "number", description: "How much." },
        from: { type: "string", enum: UNITS },
        to: { type: "string", enum: UNITS },
      },
      required: ["value", "from", "to"],
      options: { digits: { type: "integer", minimum: 0, maximum: 15, description: "Digits after the point." } },
      run({ value, from, to }, { digits = 3 }) {
        return { value: Number(convert(value, from, to).toFixed(digits)), unit: to };
      },
    },
  },
};
