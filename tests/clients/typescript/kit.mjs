// What the suites of the TypeScript SDK share: a client as users make it, requests, and what answers must be like.
import assert from 'node:assert/strict';

import Anthropic from '@anthropic-ai/sdk';

export const URL = process.env.TIDEGATE_URL.replace(/\/$/, '');
export const KEY = process.env.TIDEGATE_KEY;
export const MODEL = process.env.TIDEGATE_MODEL;

export const DATETIME = { type: 'gateway:datetime' };
export const WEATHER = {
  name: 'get_weather',
  description: 'The weather in a city.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
export const CALL_WEATHER = '[sim: call get_weather {"city": "Kiel"}]';
export const CALL_DATETIME = '[sim: call datetime {"timezones": ["Asia/Tokyo"]}]';

// the checks that the upstream cannot carry, and why
const LACKS = JSON.parse(process.env.TIDEGATE_LACKS ?? '{}');
const checks = [];
export const check = (name, run) => checks.push([name, run]);

/** A client as a user makes it; `sent` collects what it really sends. */
export function newClient({ sent = [], ...options } = {}) {
  const record = (url, init) => {
    sent.push({ headers: new Headers(init.headers), body: init.body ? JSON.parse(init.body) : undefined });
    return fetch(url, init);
  };
  return new Anthropic({ baseURL: URL, apiKey: KEY, authToken: null, timeout: 20_000, fetch: record, ...options });
}

export const ask = (text, more = {}) => ({
  model: MODEL,
  max_tokens: 1000,
  messages: [{ role: 'user', content: text }],
  ...more,
});

/** The request behind `message`: the whole conversation, and a new question. */
export const follow = (message, first, content) => ({
  ...first,
  messages: [...first.messages, { role: 'assistant', content: message.content }, { role: 'user', content }],
});

/** What a client sends back for every call of its own tools. */
export const results = (message, content) =>
  message.content
    .filter((block) => block.type === 'tool_use')
    .map((call) => ({ type: 'tool_result', tool_use_id: call.id, content }));

export const textOf = (message) =>
  message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');
/** The types of the blocks, without thinking that has no text: that only carries an upstream's signature. */
export const kinds = (message) =>
  message.content.filter((block) => block.type !== 'thinking' || block.thinking).map((block) => block.type);
export const same = (found, wanted) => assert.deepStrictEqual(found, wanted);
export const has = (text, part) => assert.ok(text.includes(part), `found ${text}, without ${part}`);

/** The error that the promise must end with. */
export async function fails(kind, run) {
  let done;
  try {
    done = await run();
  } catch (error) {
    assert.ok(error instanceof kind, `${error?.name}: ${error?.message}, not ${kind.name}`);
    return error;
  }
  throw new Error(`no ${kind.name}, but ${JSON.stringify(done)}`);
}

/** The order of events in a stream that the API promises. */
export function isWellOrdered(events) {
  const names = events.map((event) => event.type).filter((name) => name !== 'ping');
  same([names[0], ...names.slice(-2)], ['message_start', 'message_delta', 'message_stop']);
  let expected = 0;
  let isOpen = false;
  for (const event of events) {
    if (!event.type.startsWith('content_block')) continue;
    same(event.index, expected);
    same(isOpen, event.type !== 'content_block_start');
    isOpen = event.type !== 'content_block_stop';
    if (!isOpen) expected += 1;
  }
}

/** The events as the server sent them, and the message that the SDK put together. */
export async function stream(messages, first) {
  const raw = [];
  for await (const event of await messages.create({ ...first, stream: true })) raw.push(event);
  isWellOrdered(raw);
  return [raw, await messages.stream(first).finalMessage()];
}

/** Both ways to get a message: whole, and put together from a stream. */
export async function bothWays(messages, first) {
  return [await messages.create(first), (await stream(messages, first))[1]];
}

/** Runs all that was registered: a line of output a check. */
export async function runChecks() {
  for (const name of Object.keys(LACKS).filter((lack) => !checks.some(([known]) => known === lack))) {
    console.log(`FAIL ${name}: there is no such check`);
  }
  for (const [name, run] of checks) {
    if (name in LACKS) {
      const carries = await run().then(() => true, () => false);
      console.log(carries ? `FAIL ${name}: it passes, so the upstream carries it: ${LACKS[name]}` : `skip ${name}: ${LACKS[name]}`);
      continue;
    }
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`FAIL ${name}: ${`${error.name}: ${error.message}`.replace(/\s+/g, ' ')}`);
      console.error(error);
    }
  }
  console.log('end');
}
