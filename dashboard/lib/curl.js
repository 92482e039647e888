// The command line that sends a request again, without its credentials.

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const OF_CONNECTION = new Set(["host", "content-length", "connection", "accept-encoding", "transfer-encoding", "expect", "content-encoding"]);
const SECRETS = /^(authorization|proxy-authorization|x-api-key|x-tidegate-key|cookie)$/i;

/** A `curl` command for a recorded request, with `$ANTHROPIC_API_KEY` in place of each secret. */
export function curlOf(row, recorded) {
  const path = recorded?.path ?? (row.operation === "count_tokens" ? "/v1/messages/count_tokens" : "/v1/messages");
  const lines = [`curl "$ANTHROPIC_BASE_URL"${quoted(path)}`];
  if (recorded && recorded.method !== "POST") lines.push(`-X ${quoted(recorded.method)}`);
  let hasKey = false;
  for (const [name, value] of recorded?.headers ?? [["content-type", "application/json"], ["anthropic-version", "2023-06-01"]]) {
    if (OF_CONNECTION.has(name.toLowerCase())) continue;
    if (SECRETS.test(name)) hasKey = true;
    else lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (hasKey || !recorded) lines.push('-H "x-api-key: $ANTHROPIC_API_KEY"');
  if (!recorded && row.session) lines.push(`-H ${quoted(`x-tidegate-session-id: ${row.session}`)}`);
  const body = recorded
    ? recorded.body
    : JSON.stringify({ model: row.model, max_tokens: 1024, stream: row.is_stream, messages: [{ role: "user", content: "…" }] });
  if (body) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
}
