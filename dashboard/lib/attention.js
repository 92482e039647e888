// The states of a gateway that need a person: a failed reload, sick targets, used-up budgets, failing stages.
import { dollars, money, percent, plural } from "./format.js";

const RECENT_MS = 15 * 60_000;

function ofReload({ last_reload: reload }) {
  const found = [];
  if (!reload.is_successful) {
    found.push({ kind: "bad", text: `The last reload found ${plural(reload.problems.length, "problem")}: the files on disk are not in use`, to: ["generation"] });
  }
  if (reload.needs_restart.length) {
    found.push({ kind: "warn", text: `A restart is needed for ${reload.needs_restart.join(", ")}`, to: ["generation"] });
  }
  return found;
}

function ofTargets({ aliases }) {
  return aliases.flatMap((alias) => {
    const sick = alias.targets.filter((it) => it.messages.state === "cooling");
    if (!sick.length) return [];
    const text = sick.length === alias.targets.length
      ? `No target of ${alias.name} is healthy`
      : `${plural(sick.length, "target")} of ${alias.name} cooling down: ${sick.map((it) => it.target).join(", ")}`;
    return [{ kind: sick.length === alias.targets.length ? "bad" : "warn", text, to: ["targets"] }];
  });
}

function ofBudgets({ rules }) {
  return rules.flatMap((rule) => {
    const all = dollars(rule.usd);
    const warnAt = rule.warn_at_usd == null ? all * 0.9 : dollars(rule.warn_at_usd);
    return rule.counters
      .filter((it) => all > 0 && dollars(it.used_usd) >= warnAt)
      .map((it) => {
        const isOver = dollars(it.used_usd) >= all;
        const text = isOver
          ? `${it.owner} has used up its ${money(rule.usd)} a ${rule.every}`
          : `${it.owner} has used ${percent(dollars(it.used_usd) / all)} of its ${money(rule.usd)} a ${rule.every}`;
        return { kind: isOver ? "bad" : "warn", text, to: ["limits", [], { owner: it.owner }] };
      });
  });
}

function ofLimits({ rules }) {
  return rules.flatMap((rule) => rule.counters
    .filter((it) => it.left <= 0)
    .map((it) => ({ kind: "warn", text: `${it.owner} is at its limit of ${rule.unit.replaceAll("_", " ")}`, to: ["limits", [], { owner: it.owner }] })));
}

function ofStages({ stages }, now) {
  return stages.flatMap((stage) => stage.hooks
    .filter(({ numbers }) => numbers.last_error && now - Date.parse(numbers.last_error.at) < RECENT_MS)
    .map(({ hook, numbers }) => ({ kind: "warn", text: `The stage ${stage.name} failed in ${hook}, ${plural(numbers.failures, "time")} since the start`, to: ["policies"] })));
}

function ofPlugins({ plugins }) {
  return plugins.filter((it) => it.suspended_ms != null).map((it) => ({ kind: "bad", text: `The plugin ${it.name} is suspended`, to: ["policies"] }));
}

const READERS = { generation: ofReload, targets: ofTargets, budgets: ofBudgets, limits: ofLimits, policies: ofStages, plugins: ofPlugins };

/** The routes that `attentionOf` reads. */
export const SOURCES = Object.keys(READERS);

/** The states that need a person, the bad ones first. `data` has the answer of each source, or `null`. */
export function attentionOf(data, now) {
  const found = SOURCES.flatMap((name) => (data[name] ? READERS[name](data[name], now) : []));
  return found.sort((a, b) => (a.kind === b.kind ? 0 : a.kind === "bad" ? -1 : 1));
}
