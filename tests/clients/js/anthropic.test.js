// Anthropic's client for JavaScript, and openai's for responses, unmodified, against the service at
// BASE_URL.
import assert from "node:assert/strict";
import test from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.env.BASE_URL;
const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello! Tell me of a dog." }];
const fields = { model: "tiny", max_tokens: 24, messages, top_k: 1 };

test("anthropic: a message, whole and in raw events", async () => {
  const whole = await client.messages.create({ ...fields, system: "You tell stories." });
  assert.equal(whole.type, "message");
  assert.ok(["end_turn", "max_tokens"].includes(whole.stop_reason));
  assert.ok(whole._request_id);
  let text = "";
  const names = [];
  const stream = await client.messages.create({
    ...fields,
    system: "You tell stories.",
    stream: true,
  });
  for await (const event of stream) {
    names.push(event.type);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  assert.equal(text, whole.content[0].text);
  assert.equal(names[0], "message_start");
  assert.equal(names.at(-1), "message_stop");
});

test("anthropic: the helper for streams, and counts", async () => {
  const stream = client.messages.stream(fields);
  let text = "";
  stream.on("text", (part) => (text += part));
  const final = await stream.finalMessage();
  assert.equal(text, final.content[0].text);
  assert.ok(final.usage.output_tokens > 0);
  const counted = await client.messages.countTokens({ model: "tiny", messages });
  assert.equal(
    counted.input_tokens,
    final.usage.input_tokens + final.usage.cache_read_input_tokens,
  );
});

test("anthropic: errors of its own classes", async () => {
  const tool = { name: "f", input_schema: { type: "object" } };
  await assert.rejects(
    client.messages.create({ ...fields, max_tokens: -1 }),
    Anthropic.BadRequestError,
  );
  await assert.rejects(
    client.messages.create({ ...fields, model: "other" }),
    Anthropic.NotFoundError,
  );
  await assert.rejects(
    client.messages.create({ ...fields, tools: [tool, tool] }),
    (error) => error instanceof Anthropic.BadRequestError && /tools/.test(error.message),
  );
});

test("anthropic: a stream that is broken off", async () => {
  const stream = client.messages.stream({ ...fields, max_tokens: 400 });
  for await (const event of stream) if (event.type === "content_block_delta") break;
  stream.abort();
});

test("openai: responses, whole and in events", async () => {
  const asked = { model: "tiny", input: "Hello!", max_output_tokens: 24, temperature: 0 };
  const whole = await openai.responses.create(asked);
  assert.ok(whole.output_text);
  let text = "";
  let last = null;
  for await (const event of await openai.responses.create({ ...asked, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.equal(last.type, `response.${whole.status}`);
  await assert.rejects(
    openai.responses.create({ ...asked, previous_response_id: "resp_1" }),
    OpenAI.BadRequestError,
  );
});
