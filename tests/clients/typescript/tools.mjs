// What users of the TypeScript SDK do with the gateway's own tools: each of them, streamed and not.
//
// The pages, services and second gateway that these need are there if `run.py` has started the gateway; else they are skipped.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';

import {
  CALL_DATETIME,
  CALL_WEATHER,
  DATETIME,
  KEY,
  MODEL,
  URL,
  WEATHER,
  ask,
  check as register,
  fails,
  follow,
  has,
  kinds,
  newClient,
  results,
  same,
  stream,
  textOf,
} from './kit.mjs';

const OUTSIDE = process.env.TIDEGATE_OUTSIDE;
const OTHER = { baseURL: process.env.TIDEGATE_OTHER_URL };
const EDITED = { apiKey: process.env.TIDEGATE_EDITED_KEY };

const FETCH = { type: 'gateway:web_fetch' };
const SEARCH = { type: 'gateway:web_search' };
const NATIVE_FETCH = { type: 'web_fetch_20250910', name: 'web_fetch' };
const NATIVE_SEARCH = { type: 'web_search_20250305', name: 'web_search' };
const ADVISOR = { type: 'gateway:advisor' };
const IMAGES = { type: 'gateway:image_generation' };
const DONE = ' [sim: then] [sim: say that is all]';

/** A check that needs the outside. */
function check(name, run) {
  if (OUTSIDE) register(name, run);
  else console.log(`skip ${name}: the gateway was not started here`);
}

/** The directive at which the simulator calls this tool. */
const call = (tool, given) => `[sim: call ${tool} ${JSON.stringify(given)}]`;
const fetchOf = (path, more = {}) =>
  call('web_fetch', { url: path.includes('://') ? path : OUTSIDE + path, ...more });

/** The answer as it comes whole, and as the SDK puts it together from a stream. */
async function bothWays(messages, first) {
  const whole = await messages.create(first);
  const [, streamed] = await stream(messages, first);
  same(kinds(streamed), kinds(whole));
  const counted = ({ usage }) => [usage.input_tokens, usage.output_tokens, usage.server_tool_use ?? null];
  same(counted(streamed), counted(whole));
  return [whole, streamed];
}

/** The conversation goes on, with the answer in its history. */
async function goesOn(messages, message, first) {
  const next = follow(message, first, 'and now?');
  same(textOf(await messages.create(next)), 'You said: and now?');
  same(textOf((await stream(messages, next))[1]), 'You said: and now?');
}

const of = (message, kind) => message.content.filter((block) => block.type === kind);

function one(message, kind) {
  const found = of(message, kind);
  same(found.length, 1);
  return found[0];
}

/** What the error of a search or a fetch is called. */
function codeOf(block) {
  same(block.content.type, `${block.type}_error`);
  return block.content.error_code;
}

function isAnswered(message) {
  same([message.stop_reason, message.content.at(-1).text], ['end_turn', 'that is all']);
}

check("fetch: a page of HTML, in the API's own blocks, and again in the history", async () => {
  const client = newClient();
  const first = ask(fetchOf('/article') + DONE, { tools: [FETCH] });
  for (const messages of [client.messages, client.beta.messages]) {
    for (const message of await bothWays(messages, first)) {
      same(kinds(message), ['text', 'server_tool_use', 'web_fetch_tool_result', 'text']);
      const [, used, { tool_use_id, content: page }] = message.content;
      same([used.name, used.input, tool_use_id], ['web_fetch', { url: `${OUTSIDE}/article` }, used.id]);
      same([page.type, page.url, page.content.type], ['web_fetch_result', `${OUTSIDE}/article`, 'document']);
      has(page.content.title, 'Reading a tide table');
      has(page.content.source.data, `[almanac of the harbour office](${OUTSIDE}/almanac/2026)`);
      assert.match(page.content.source.data, /^\|.*06:58/m);
      assert.ok(Math.abs(Date.now() - Date.parse(page.retrieved_at)) < 60_000, `${page.retrieved_at} is not now`);
      same(message.usage.server_tool_use, { web_search_requests: 0, web_fetch_requests: 1 });
      isAnswered(message);
      await goesOn(messages, message, first);
    }
  }
});

check('fetch: another charset, PDF, JSON, and where a redirect leads', async () => {
  for (const [path, at, part] of [
    ['/german', '/german', 'sechs Stunden – „nicht kürzer“, sagt der Wärter, und 5 €'],
    ['/table.pdf', '/table.pdf', 'High water at the pier\nMon 19 06:12 5.1'],
    ['/data.json', '/data.json', '"heights": [5.1, 5.4]'],
    ['/old', '/article', '## What the columns mean'],
  ]) {
    for (const message of await bothWays(newClient().messages, ask(fetchOf(path) + DONE, { tools: [FETCH] }))) {
      const page = one(message, 'web_fetch_tool_result').content;
      same(page.url, OUTSIDE + at);
      has(page.content.source.data, part);
    }
  }
});

check('fetch: one that never ends is an error', async () => {
  const first = ask(fetchOf('/endless.txt') + DONE, { tools: [{ ...FETCH, max_chars: 1000 }] });
  for (const message of await bothWays(newClient().messages, first)) {
    same(codeOf(one(message, 'web_fetch_tool_result')), 'content_too_large');
    isAnswered(message);
  }
});

check("fetch: failures are results with the API's codes, and the conversation goes on", async () => {
  const { messages } = newClient();
  for (const tool of [FETCH, NATIVE_FETCH]) {
    for (const [given, code] of [
      [fetchOf('/no/such/page'), 'url_not_accessible'],
      [fetchOf('http://127.0.0.2/'), 'url_not_allowed'],
      [fetchOf('http://no-such-host.invalid/'), 'url_not_accessible'],
      [fetchOf('/busy'), 'too_many_requests'],
      [fetchOf('/bomb'), 'content_too_large'],
      [fetchOf('/pixel.png'), 'unsupported_content_type'],
      [fetchOf(`/${'x'.repeat(250)}`), 'url_too_long'],
      [call('web_fetch', { address: 'x' }), 'invalid_tool_input'],
    ]) {
      const first = ask(given + DONE, { tools: [tool] });
      for (const message of await bothWays(messages, first)) {
        same([given, codeOf(one(message, 'web_fetch_tool_result'))], [given, code]);
        isAnswered(message);
      }
    }
  }
});

check('fetch: a page that takes too long', async () => {
  const first = ask(fetchOf('/slow') + DONE, { tools: [FETCH] });
  const message = await newClient(OTHER).messages.stream(first).finalMessage();
  same(codeOf(one(message, 'web_fetch_tool_result')), 'url_not_accessible');
  isAnswered(message);
});

check('fetch: domains and `max_uses` of the declaration hold', async () => {
  const { messages } = newClient();
  for (const tool of [FETCH, NATIVE_FETCH]) {
    const foreign = ask(fetchOf('/article') + DONE, { tools: [{ ...tool, allowed_domains: ['example.com'] }] });
    for (const message of await bothWays(messages, foreign)) {
      same(codeOf(one(message, 'web_fetch_tool_result')), 'url_not_allowed');
    }
    const twice = `${fetchOf('/data.json')} [sim: then] ${fetchOf('/german')}${DONE}`;
    const first = ask(twice, { tools: [{ ...tool, max_uses: 1 }] });
    for (const message of await bothWays(messages, first)) {
      const [used, refused] = of(message, 'web_fetch_tool_result');
      same([used.content.type, codeOf(refused)], ['web_fetch_result', 'max_uses_exceeded']);
      isAnswered(message);
      const again = await messages.create(follow(message, first, fetchOf('/german') + DONE));
      const result = one(again, 'web_fetch_tool_result');
      // the API's own has its uses for each request
      if (tool === FETCH) same(codeOf(result), 'max_uses_exceeded');
      else same(result.content.type, 'web_fetch_result');
    }
  }
});

check('fetch, as the API declares it, in every version', async () => {
  const { messages } = newClient();
  for (const date of ['20250910', '20260209', '20260309', '20260318']) {
    const terms = { name: 'web_fetch', citations: { enabled: true }, max_content_tokens: 100 };
    const first = ask(fetchOf('/book.txt') + DONE, { tools: [{ type: `web_fetch_${date}`, ...terms }] });
    for (const message of await bothWays(messages, first)) {
      same(kinds(message), ['text', 'server_tool_use', 'web_fetch_tool_result', 'text']);
      const document = one(message, 'web_fetch_tool_result').content.content;
      same([document.source.data.length <= 400, document.citations], [true, { enabled: true }]);
      await goesOn(messages, message, first);
    }
  }
});

/** The blocks of a search of which both services make the same. */
function showsSearch(message) {
  const [used, result] = [one(message, 'server_tool_use'), one(message, 'web_search_tool_result')];
  same([used.name, used.input, result.tool_use_id], ['web_search', { query: 'tides & moon' }, used.id]);
  for (const hit of result.content) {
    same([hit.type, typeof hit.encrypted_content], ['web_search_result', 'string']);
  }
  same(
    result.content.slice(0, 2).map(({ title, url, page_age }) => [title, url, page_age]),
    [
      ['Tides, part 0', 'https://sea.example/page/0', '2026-01-02T00:00:00'],
      ['Tides, part 1', 'https://news.moon.example/page/1', null],
    ],
  );
  same(message.usage.server_tool_use, { web_search_requests: 1, web_fetch_requests: 0 });
  return result.content;
}

check("search: results in the API's own blocks, and again in the history", async () => {
  for (const client of [newClient(), newClient(OTHER)]) {
    for (const tool of [SEARCH, NATIVE_SEARCH]) {
      // without a further directive the answer is what the model was told
      const first = ask(call('web_search', { query: 'tides & moon' }), { tools: [tool] });
      for (const messages of [client.messages, client.beta.messages]) {
        for (const message of await bothWays(messages, first)) {
          same(kinds(message), ['text', 'server_tool_use', 'web_search_tool_result', 'text']);
          same(showsSearch(message).length, 3);
          has(textOf(message), 'Part 0 & what the moon does');
          await goesOn(messages, message, first);
        }
      }
    }
  }
});

check('search, as the API declares it, in every version and with all its options', async () => {
  const place = { type: 'approximate', city: 'Kiel', region: 'Holstein', country: 'DE', timezone: 'Europe/Berlin' };
  const bounds = { allowed_domains: ['sea.example', 'moon.example'], max_uses: 3, user_location: place };
  for (const { messages } of [newClient(), newClient(OTHER)]) {
    for (const date of ['20250305', '20260209', '20260318']) {
      const tool = { type: `web_search_${date}`, name: 'web_search', ...bounds };
      const first = ask(call('web_search', { query: 'tides & moon' }) + DONE, { tools: [tool] });
      for (const message of await bothWays(messages, first)) {
        showsSearch(message);
        isAnswered(message);
      }
    }
  }
});

check("search: bounds hold, failures are results with the API's codes", async () => {
  for (const { messages } of [newClient(), newClient(OTHER)]) {
    for (const tool of [SEARCH, NATIVE_SEARCH]) {
      for (const [query, code] of [
        ['busy', 'too_many_requests'],
        ['broken', 'unavailable'],
        ['', 'invalid_tool_input'],
        ['x'.repeat(401), 'query_too_long'],
      ]) {
        const first = ask(call('web_search', { query }) + DONE, { tools: [tool] });
        for (const message of await bothWays(messages, first)) {
          same(codeOf(one(message, 'web_search_tool_result')), code);
          isAnswered(message);
          await goesOn(messages, message, first);
        }
      }
      const tides = call('web_search', { query: 'tides' });
      const first = ask(`${tides} [sim: parallel 2]${DONE}`, { tools: [{ ...tool, max_uses: 1 }] });
      for (const message of await bothWays(messages, first)) {
        const [used, refused] = of(message, 'web_search_tool_result');
        same([used.content.length, codeOf(refused)], [3, 'max_uses_exceeded']);
        same(of(message, 'server_tool_use').map(({ id }) => id), [used.tool_use_id, refused.tool_use_id]);
      }
    }
  }
});

check('search, fetch and the time in one turn keep their order', async () => {
  const { beta } = newClient();
  const asked = call('web_search', { query: 'x' }) + fetchOf('/data.json') + CALL_DATETIME + DONE;
  const first = ask(asked, { tools: [SEARCH, FETCH, DATETIME] });
  for (const message of await bothWays(beta.messages, first)) {
    same(kinds(message).slice(4), ['web_search_tool_result', 'web_fetch_tool_result', 'mcp_tool_result', 'text']);
    const counts = { web_search_requests: 1, web_fetch_requests: 1, datetime_requests: 1 };
    same(message.usage.server_tool_use, counts);
    await goesOn(beta.messages, message, first);
  }
});

check("server tools and a client tool in one turn, then the client's result", async () => {
  const { messages } = newClient();
  for (const tools of [[SEARCH, FETCH, WEATHER], [NATIVE_SEARCH, NATIVE_FETCH, WEATHER]]) {
    const asked = call('web_search', { query: 'tides & moon' }) + fetchOf('/data.json') + CALL_WEATHER;
    const first = ask(asked, { tools });
    for (const message of await bothWays(messages, first)) {
      same([message.stop_reason, one(message, 'tool_use').input], ['tool_use', { city: 'Kiel' }]);
      same(one(message, 'web_search_tool_result').content.length, 3);
      const second = follow(message, first, results(message, 'rain, 7 degrees'));
      for (const answer of await bothWays(messages, second)) {
        same([answer.stop_reason, kinds(answer)], ['end_turn', ['text']]);
        for (const part of ['rain, 7 degrees', 'Part 1, without a date', 'heights']) has(textOf(answer), part);
        await goesOn(messages, answer, second);
      }
    }
  }
});

check('tool runner with search, fetch and a client tool', async () => {
  const getWeather = betaTool({
    name: 'get_weather',
    description: 'The weather in a city.',
    inputSchema: WEATHER.input_schema,
    run: ({ city }) => `rain in ${city}`,
  });
  const text = `${call('web_search', { query: 'tides' })} ${fetchOf('/data.json')} ${CALL_WEATHER}`;
  for (const pair of [[SEARCH, FETCH], [NATIVE_SEARCH, NATIVE_FETCH]]) {
    for (const isStreamed of [false, true]) {
      const asked = { ...ask(text, { tools: [getWeather, ...pair] }), stream: isStreamed };
      const runner = newClient().beta.messages.toolRunner(asked);
      if (isStreamed) for await (const turn of runner) await turn.finalMessage();
      const message = await (isStreamed ? runner.done() : runner.runUntilDone());
      same(message.stop_reason, 'end_turn');
      for (const part of ['rain in Kiel', 'Part 1, without a date', 'heights']) has(textOf(message), part);
    }
  }
});

/** The result of a tool for which the API has no block of its own. */
function mcpResult(message) {
  const [used, result] = [one(message, 'mcp_tool_use'), one(message, 'mcp_tool_result')];
  same([used.server_name, result.tool_use_id], ['gateway', used.id]);
  return [result.is_error, result.content[0].text];
}

check('advisor: another model is asked; what it may not ask, and a model that fails, are results', async () => {
  const { messages } = newClient().beta;
  for (const [prompt, tool, isError, part] of [
    ['is it wise?', ADVISOR, false, 'You said: is it wise?'],
    ['why?', { ...ADVISOR, model: MODEL }, true, 'not_granted'],
    ['[sim: error 529]', ADVISOR, true, 'overloaded_error'],
  ]) {
    const first = ask(call('advisor', { prompt }) + DONE, { tools: [tool] });
    for (const message of await bothWays(messages, first)) {
      const [found, text] = mcpResult(message);
      same(found, isError);
      has(text, part);
      same(message.usage.server_tool_use.advisor_requests, 1);
      isAnswered(message);
      await goesOn(messages, message, first);
    }
  }
});

check("images: the picture is where the result says, a refusal is in the endpoint's words", async () => {
  const { messages } = newClient().beta;
  for (const prompt of ['a calm sea', 'something forbidden']) {
    const first = ask(call('image_generation', { prompt }) + DONE, { tools: [IMAGES] });
    for (const message of await bothWays(messages, first)) {
      const [isError, text] = mcpResult(message);
      same(isError, prompt !== 'a calm sea');
      if (isError) {
        has(text, 'that cannot be painted');
      } else {
        const picture = await fetch(JSON.parse(text).url);
        const bytes = Buffer.from(await picture.arrayBuffer());
        same([picture.headers.get('content-type'), bytes.toString('latin1', 1, 4)], ['image/png', 'PNG']);
      }
      isAnswered(message);
      await goesOn(messages, message, first);
    }
  }
});

check('datetime: the time zones that the declaration pins', async () => {
  const tool = { ...DATETIME, timezones: ['UTC', 'Asia/Kolkata'] };
  for (const message of await bothWays(newClient().beta.messages, ask(CALL_DATETIME + DONE, { tools: [tool] }))) {
    const zones = JSON.parse(mcpResult(message)[1]).timezones.map(({ timezone }) => timezone);
    same(zones, ['UTC', 'Asia/Kolkata']);
  }
});

check('strictness: what a target does not understand is dropped and named, or refused', async () => {
  const { messages } = newClient();
  for (const stream of [false, true]) {
    const first = ask('hello', { model: 'narrow', top_k: 5, stream });
    for (const [value, named] of [['warn', 'top_k'], ['off', null]]) {
      const headers = { 'x-tidegate-strictness': value };
      const { response } = await messages.create(first, { headers }).withResponse();
      same([value, response.headers.get('x-tidegate-dropped')], [value, named]);
    }
    const headers = { 'x-tidegate-strictness': 'error' };
    const error = await fails(Anthropic.BadRequestError, () => messages.create(first, { headers }));
    same([error.status, error.error.error.type], [400, 'invalid_request_error']);
    has(error.error.error.message, 'top_k');
  }
});

check('rewrite: the upstream has what the stage made of the request', async () => {
  const { messages } = newClient(EDITED);
  for (const message of await bothWays(messages, ask('[sim: words 400]', { max_output_tokens: 900 }))) {
    same([message.stop_reason, message.usage.output_tokens], ['max_tokens', 50]);
  }
  for (const message of await bothWays(messages, ask('a quiet harbour gate'))) {
    same([message.stop_reason, message.stop_sequence, textOf(message)], ['stop_sequence', 'harbour', 'You said: a quiet ']);
  }
});

check('the code on the page prints what the page shows', async () => {
  const page = readFileSync(`${process.env.TIDEGATE_DOCS}/start/sdks.md`, 'utf8');
  const found = [...page.matchAll(/^```ts\n(.*?)^```\n```text\n(.*?)^```$/gms)];
  assert.ok(found.length >= 2, 'the page has no code');
  let code = found.map(([, block]) => block).join('\n');
  code = code.replace('http://127.0.0.1:4000', URL).replace('"any"', JSON.stringify(KEY));
  const printed = [];
  const console = { log: (...parts) => printed.push(`${parts.join(' ')}\n`) };
  // a function has no imports: it is given the package
  const Run = Object.getPrototypeOf(async () => {}).constructor;
  await new Run('Anthropic', 'console', code.replace(/^import .*$/m, ''))(Anthropic, console);
  same(printed.join(''), found.map(([, , shown]) => shown).join(''));
});
