// Saves rows as a CSV file.
import { csvCell } from "./format.js";

/** The text of a CSV file with a line of names, and a line for each row. */
export function csvOf(names, rows) {
  const lines = [names, ...rows.map((row) => names.map((it) => row[it]))];
  return lines.map((cells) => `${cells.map(csvCell).join(",")}\r\n`).join("");
}

/** Offers the rows as a file. */
export function saveCsv(file, names, rows) {
  const address = URL.createObjectURL(new Blob([csvOf(names, rows)], { type: "text/csv" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = file;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
