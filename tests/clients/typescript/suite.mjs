// What users of the TypeScript SDK do, against a gateway: one line of output a check.
//
// Runs beside the node_modules that `run.py` made. The gateway is in TIDEGATE_URL, a key that it knows in
// TIDEGATE_KEY, a model that a simulator answers in TIDEGATE_MODEL. The checks of its tools are in tools.mjs.
import assert from 'node:assert/strict';

import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';

import {
  CALL_DATETIME,
  CALL_WEATHER,
  DATETIME,
  KEY,
  MODEL,
  URL,
  WEATHER,
  ask,
  bothWays,
  check,
  fails,
  follow,
  has,
  kinds,
  newClient,
  results,
  runChecks,
  same,
  stream,
  textOf,
} from './kit.mjs';

/** Blocks of a turn in which the gateway ran `datetime`, `rest` behind them. */
function showsServerTool(message, rest) {
  same(kinds(message), ['text', 'mcp_tool_use', 'mcp_tool_result', ...rest]);
  const [call, result] = message.content.filter((block) => block.type.startsWith('mcp_tool'));
  same([call.name, call.server_name, call.input], ['datetime', 'gateway', { timezones: ['Asia/Tokyo'] }]);
  same([result.tool_use_id, result.is_error ?? false], [call.id, false]);
  const zone = JSON.parse(result.content[0].text).timezones[0];
  same([zone.timezone, zone.datetime.slice(-6)], ['Asia/Tokyo', '+09:00']);
  assert.ok(Math.abs(Date.now() - Date.parse(zone.datetime)) < 60_000, `${zone.datetime} is not now`);
}

check('sends its key as this version does, and is let in', async () => {
  const sent = [];
  await newClient({ sent }).messages.create(ask('hello'));
  const [{ headers }] = sent;
  same([headers.get('authorization'), headers.get('x-api-key')], [`Bearer ${KEY}`, null]);
  same(headers.get('anthropic-version'), '2026-10-21');
});

check('sends the key in the other header as well', async () => {
  const client = newClient({ apiKey: null, defaultHeaders: { 'X-Api-Key': KEY } });
  same(textOf(await client.messages.create(ask('hello'))), 'You said: hello');
});

check('plain message', async () => {
  const message = await newClient().messages.create(ask('hello \u2028 wörld'));
  same([kinds(message), textOf(message)], [['text'], 'You said: hello \u2028 wörld']);
  same([message.role, message.stop_reason], ['assistant', 'end_turn']);
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
  has(message._request_id, 'req_');
});

check('plain message through a base URL that ends with /v1', async () => {
  same(textOf(await newClient({ baseURL: `${URL}/v1` }).messages.create(ask('hello'))), 'You said: hello');
});

check('stream', async () => {
  const client = newClient();
  const first = ask('[sim: words 40] [sim: pace 1ms]');
  const [raw, message] = await stream(client.messages, first);
  const deltas = raw.filter((e) => e.type === 'content_block_delta').map((e) => e.delta.text).join('');
  same([textOf(message), deltas.split(/\s+/).filter(Boolean).length], [deltas, 40]);
  const end = raw.find((event) => event.type === 'message_delta');
  same([message.stop_reason, message.usage.output_tokens], [end.delta.stop_reason, end.usage.output_tokens]);
  const whole = await client.messages.create(first);
  same([whole.usage.input_tokens, whole.usage.output_tokens], [message.usage.input_tokens, message.usage.output_tokens]);
  same(textOf(whole), deltas);
});

check('stream with padded data and CR LF', async () => {
  const [, message] = await stream(newClient().messages, ask('hello [sim: padded] [sim: crlf]'));
  same(textOf(message), 'You said: hello');
});

check('client tool, there and back', async () => {
  const client = newClient();
  const first = ask(CALL_WEATHER, { tools: [WEATHER] });
  for (const message of await bothWays(client.messages, first)) {
    same([message.stop_reason, kinds(message)], ['tool_use', ['text', 'tool_use']]);
    const call = message.content.find((block) => block.type === 'tool_use');
    same([call.name, call.input], ['get_weather', { city: 'Kiel' }]);
    const second = follow(message, first, results(message, 'rain, 7 degrees'));
    for (const answer of await bothWays(client.messages, second)) has(textOf(answer), 'rain, 7 degrees');
  }
});

check('server tool: its blocks are seen, and go back in the history', async () => {
  const client = newClient();
  const first = ask(CALL_DATETIME, { tools: [DATETIME] });
  const message = await client.beta.messages.create(first);
  showsServerTool(message, ['text']);
  same([message.stop_reason, message.usage.server_tool_use.datetime_requests], ['end_turn', 1]);
  same(textOf(await client.beta.messages.create(follow(message, first, 'and now?'))), 'You said: and now?');
});

check('server tool, streamed: its blocks are seen, and go back in the history', async () => {
  const client = newClient();
  const first = ask(CALL_DATETIME, { tools: [DATETIME] });
  const [raw, message] = await stream(client.beta.messages, first);
  showsServerTool(message, ['text']);
  const end = raw.find((event) => event.type === 'message_delta');
  same([message.stop_reason, end.usage.server_tool_use.datetime_requests], ['end_turn', 1]);
  same(textOf(await client.beta.messages.create(follow(message, first, 'and now?'))), 'You said: and now?');
});

check('server tool without the beta namespace, both ways', async () => {
  const client = newClient();
  const first = ask(CALL_DATETIME, { tools: [DATETIME] });
  for (const message of await bothWays(client.messages, first)) {
    same(kinds(message), ['text', 'mcp_tool_use', 'mcp_tool_result', 'text']);
    same(textOf(await client.messages.create(follow(message, first, 'again'))), 'You said: again');
  }
});

check('three server tools in parallel', async () => {
  const client = newClient();
  const first = ask(`${CALL_DATETIME} [sim: parallel 3]`, { tools: [DATETIME] });
  for (const message of await bothWays(client.beta.messages, first)) {
    same(kinds(message).filter((kind) => kind === 'mcp_tool_result').length, 3);
    same(textOf(await client.beta.messages.create(follow(message, first, 'so'))), 'You said: so');
  }
});

check('server tool with thinking: the signatures survive the history', async () => {
  const client = newClient();
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const first = ask(CALL_DATETIME, { tools: [DATETIME], thinking, max_tokens: 2000 });
  for (const message of await bothWays(client.beta.messages, first)) {
    same(kinds(message)[0], 'thinking');
    assert.ok(message.content[0].signature, 'no signature');
    same(textOf(await client.beta.messages.create(follow(message, first, 'so'))), 'You said: so');
  }
});

check('server tool and client tool in one turn, both ways', async () => {
  const { beta } = newClient();
  const first = ask(`${CALL_DATETIME} ${CALL_WEATHER}`, { tools: [DATETIME, WEATHER] });
  for (const message of await bothWays(beta.messages, first)) {
    same(message.stop_reason, 'tool_use');
    same(kinds(message).sort(), ['mcp_tool_result', 'mcp_tool_use', 'text', 'tool_use']);
    const second = follow(message, first, results(message, 'rain, 7 degrees'));
    for (const answer of await bothWays(beta.messages, second)) {
      has(textOf(answer), 'rain, 7 degrees');
      has(textOf(answer), 'Asia/Tokyo');
      same(textOf(await beta.messages.create(follow(answer, second, 'thanks'))), 'You said: thanks');
    }
  }
});

check('server tool first, client tool in a later turn', async () => {
  const { beta } = newClient();
  const first = ask(`${CALL_DATETIME} [sim: then] ${CALL_WEATHER}`, { tools: [DATETIME, WEATHER] });
  for (const message of await bothWays(beta.messages, first)) {
    showsServerTool(message, ['text', 'tool_use']);
    const answer = await beta.messages.create(follow(message, first, results(message, 'rain, 7 degrees')));
    has(textOf(answer), 'rain, 7 degrees');
  }
});

check('error: a bad request is a 400 that says what is wrong', async () => {
  const sent = [];
  const error = await fails(Anthropic.BadRequestError, () =>
    newClient({ sent }).messages.create(ask('x', { model: 17 })),
  );
  same([error.status, error.error.error.type], [400, 'invalid_request_error']);
  same([error.requestID, sent.length], [error.error.request_id, 1]);
  has(error.error.error.message, 'model');
});

check('error: a wrong key is a 401, and is not tried again', async () => {
  const sent = [];
  const client = newClient({ sent, apiKey: 'sk-nobody-knows-this' });
  const error = await fails(Anthropic.AuthenticationError, () => client.messages.create(ask('hello')));
  same([error.error.error.type, sent.length], ['authentication_error', 1]);
  same(error.headers.get('x-should-retry'), 'false');
});

check('error: 529 comes through', async () => {
  const client = newClient({ maxRetries: 0 });
  for (const streamed of [false, true]) {
    const call = ask('[sim: error 529]', { stream: streamed });
    const error = await fails(Anthropic.APIError, () => client.messages.create(call));
    same([error.status, error.error.error.type], [529, 'overloaded_error']);
  }
});

check('error: retry-after-ms and x-should-retry reach the SDK', async () => {
  for (const [rest, count] of [['retry-after-ms 1', 3], ['should-retry false', 1]]) {
    const sent = [];
    await fails(Anthropic.APIError, () => newClient({ sent }).messages.create(ask(`[sim: error 529 ${rest}]`)));
    same(sent.length, count);
  }
});

check('error: an error event that comes first is a status code', async () => {
  const client = newClient({ maxRetries: 0 });
  const call = ask('hello [sim: error-event 529]', { stream: true });
  same((await fails(Anthropic.APIError, () => client.messages.create(call))).status, 529);
});

/** A stream that begins well and must end with an error. */
async function broken(text, more = {}) {
  const seen = [];
  const error = await fails(Error, async () => {
    const events = await newClient().messages.create(ask(text, { stream: true, ...more }));
    for await (const event of events) seen.push(event.type);
  });
  same([seen[0], seen.includes('message_stop')], ['message_start', false]);
  return error;
}

check('error: an error event in the middle of a stream', async () => {
  const error = await broken('hello [sim: error-event 529 after 4]');
  has(JSON.stringify(error.error), 'overloaded_error');
});

check('error: a stream that breaks upstream is never a whole answer', async () => {
  await broken('hello [sim: break after 4]');
  await broken('hello [sim: end after 4]');
});

check('error: the second turn of a tool loop fails', async () => {
  const error = await broken(`${CALL_DATETIME} [sim: then] [sim: error 529]`, { tools: [DATETIME] });
  has(JSON.stringify(error.error), 'overloaded_error');
});

check('error: each status has its class and its type', async () => {
  const client = newClient({ maxRetries: 0 });
  for (const [status, kind, name] of [
    [403, Anthropic.PermissionDeniedError, 'permission_error'],
    [404, Anthropic.NotFoundError, 'not_found_error'],
    [429, Anthropic.RateLimitError, 'rate_limit_error'],
    [500, Anthropic.InternalServerError, 'api_error'],
  ]) {
    for (const streamed of [false, true]) {
      const call = ask(`[sim: error ${status}]`, { stream: streamed });
      const error = await fails(kind, () => client.messages.create(call));
      same([error.status, error.error.error.type], [status, name]);
    }
  }
});

check('error: an answer that takes too long is a timeout of the client', async () => {
  const client = newClient({ maxRetries: 0, timeout: 500 });
  await fails(Anthropic.APIConnectionTimeoutError, () => client.messages.create(ask('[sim: wait 4s] hello')));
});

check('structured output: parse returns what the schema describes', async () => {
  const port = jsonSchemaOutputFormat({
    type: 'object',
    properties: { name: { type: 'string' }, depth: { type: 'integer' } },
    required: ['name', 'depth'],
    additionalProperties: false,
  });
  const message = await newClient().messages.parse(ask('Name a port.', { output_config: { format: port } }));
  same(Object.entries(message.parsed_output).map(([name, value]) => `${name} ${typeof value}`).sort(), ['depth number', 'name string']);
  same(JSON.parse(textOf(message)), message.parsed_output);
});

check('count_tokens, with a server tool as well', async () => {
  const client = newClient();
  const call = { model: MODEL, messages: [{ role: 'user', content: 'hello '.repeat(40) }] };
  const plain = await client.messages.countTokens(call);
  const more = await client.beta.messages.countTokens({ ...call, tools: [DATETIME] });
  assert.ok(plain.input_tokens > 40 && more.input_tokens > plain.input_tokens);
});

check('models: list and one of them', async () => {
  const client = newClient();
  const ids = [];
  for await (const model of client.models.list({ limit: 1000 })) ids.push(model.id);
  has(ids, MODEL);
  const model = await client.models.retrieve(MODEL);
  same([model.id, model.type], [MODEL, 'model']);
  assert.ok(model.display_name && !Number.isNaN(Date.parse(model.created_at)), JSON.stringify(model));
});

/** The SDK's own tool runner, to its end. */
async function runTools(tools, text, isStreamed) {
  const sent = [];
  const getWeather = betaTool({
    name: 'get_weather',
    description: 'The weather in a city.',
    inputSchema: WEATHER.input_schema,
    run: ({ city }) => `rain in ${city}`,
  });
  const runner = newClient({ sent }).beta.messages.toolRunner({
    ...ask(text, { tools: [getWeather, ...tools] }),
    stream: isStreamed,
  });
  if (isStreamed) for await (const turn of runner) await turn.finalMessage();
  const message = await (isStreamed ? runner.done() : runner.runUntilDone());
  has(textOf(message), 'rain in Kiel');
  same(message.stop_reason, 'end_turn');
  // it asks for a thread once, is told that there is none, and sends whole conversations from there on
  same(sent.map(({ body }) => 'thread' in body), [true, false, false]);
}

check('tool runner with a client tool', async () => {
  await runTools([], CALL_WEATHER, false);
  await runTools([], CALL_WEATHER, true);
});

check('tool runner with a client tool and a server tool', async () => {
  await runTools([DATETIME], `${CALL_DATETIME} ${CALL_WEATHER}`, false);
  await runTools([DATETIME], `${CALL_DATETIME} ${CALL_WEATHER}`, true);
});

// they rest on what `run.py` starts beside a gateway of its own; through a family of providers they would repeat
// those of the simulator
if (process.env.TIDEGATE_LACKS === undefined) await import('./tools.mjs');
await runChecks();
