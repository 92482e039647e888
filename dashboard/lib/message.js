// Puts a message together from the events of a stream, block by block.

/** Returns a message without content. */
export function empty() {
  return { model: null, blocks: [], stop: null, stopDetails: null, usage: {}, error: null, isWhole: false };
}

/** Returns the message of a JSON answer. */
export function whole(answer) {
  const blocks = (answer.content ?? []).map((block) => ({ block, input: "", isOpen: false }));
  return {
    model: answer.model,
    blocks,
    stop: answer.stop_reason ?? null,
    stopDetails: answer.stop_details ?? null,
    usage: answer.usage ?? {},
    error: null,
    isWhole: true,
  };
}

// Places are replaced and never changed, so that a component sees from its property whether its block is another one.
// A delta of a kind that is not known adds its texts to the fields of the same names.
function added(place, delta) {
  if (delta.type === "input_json_delta") return { ...place, input: place.input + (delta.partial_json ?? "") };
  const block = { ...place.block };
  if (delta.type === "citations_delta") {
    block.citations = [...(block.citations ?? []), delta.citation];
    return { ...place, block };
  }
  for (const [name, value] of Object.entries(delta)) {
    if (name === "type") continue;
    const before = block[name];
    block[name] = typeof before === "string" && typeof value === "string" ? before + value : value;
  }
  return { ...place, block };
}

function closed(place) {
  if (!place.input) return { ...place, isOpen: false };
  try {
    return { ...place, block: { ...place.block, input: JSON.parse(place.input) }, isOpen: false };
  } catch {
    // the input of a call that was cut off stays as its text
    return { ...place, isOpen: false };
  }
}

/** Applies the data of one event to `message`, which changes. */
export function apply(message, data) {
  switch (data.type) {
    case "message_start":
      message.model = data.message?.model ?? null;
      message.usage = { ...data.message?.usage };
      break;
    case "content_block_start":
      message.blocks[data.index] = { block: { ...data.content_block }, input: "", isOpen: true };
      break;
    case "content_block_delta":
      if (message.blocks[data.index]) message.blocks[data.index] = added(message.blocks[data.index], data.delta ?? {});
      break;
    case "content_block_stop":
      if (message.blocks[data.index]) message.blocks[data.index] = closed(message.blocks[data.index]);
      break;
    case "message_delta":
      message.stop = data.delta?.stop_reason ?? message.stop;
      message.stopDetails = data.delta?.stop_details ?? message.stopDetails;
      message.usage = { ...message.usage, ...data.usage };
      break;
    case "message_stop":
      message.isWhole = true;
      break;
    case "error":
      message.error = data.error ?? { type: "unknown", message: "an error event without an error" };
      break;
    default:
      break;
  }
}

/** Returns the content as a client sends it back in the next request. */
export function content(message) {
  return message.blocks.filter(Boolean).map((place) => place.block);
}

/** Returns the user's part of the next request: an empty result for each call of a tool that the client must run. */
export function reply(message) {
  const calls = content(message).filter((block) => block.type === "tool_use");
  if (calls.length === 0) return "";
  return calls.map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "" }));
}
