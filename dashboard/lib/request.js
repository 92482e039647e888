// The body of a request in the playground and in the dry run: text of JSON, and the fields that the form shows of it.

/** Returns the object of a text, or the sentence that says why there is none. */
export function parse(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch (error) {
    return { body: null, problem: `The body is not JSON: ${error.message}` };
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) {
    return { body: null, problem: "The body must be a JSON object." };
  }
  return { body, problem: null };
}

/** Returns the text of a body. */
export function print(body) {
  return JSON.stringify(body, null, 2);
}

/** Returns a body with one message of the user. */
export function sample(model = "claude-sonnet-5", message = "") {
  return { model, max_tokens: 1024, stream: true, messages: [{ role: "user", content: message }] };
}

/** Returns the text of the last message; `null` if it is not a text of the user. */
export function message(body) {
  const last = Array.isArray(body.messages) ? body.messages.at(-1) : undefined;
  if (last?.role !== "user") return null;
  if (typeof last.content === "string") return last.content;
  const only = Array.isArray(last.content) && last.content.length === 1 ? last.content[0] : null;
  return only?.type === "text" ? only.text : null;
}

/** Returns the body with another text in its last message. */
export function withMessage(body, text) {
  const messages = [...body.messages];
  const last = messages.at(-1);
  const content = typeof last.content === "string" ? text : [{ ...last.content[0], text }];
  messages[messages.length - 1] = { ...last, content };
  return { ...body, messages };
}
