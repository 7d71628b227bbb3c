// openai's client for JavaScript, the AI SDK and fetch with a parser of events, unmodified, against
// the service at BASE_URL.
import assert from "node:assert/strict";
import test from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { createParser } from "eventsource-parser";
import OpenAI from "openai";

const url = process.env.BASE_URL;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [
  { role: "system", content: "You tell stories." },
  { role: "user", content: "Hello!" },
];
const fields = { model: "tiny", messages, temperature: 0, max_tokens: 12 };

test("openai: chats, whole and in a stream", async () => {
  const whole = await client.chat.completions.create(fields);
  assert.ok(whole.choices[0].message.content);
  let text = "";
  const stream = await client.chat.completions.create({
    ...fields,
    stream: true,
    stream_options: { include_usage: true },
  });
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.total_tokens, whole.usage.total_tokens);
});

test("openai: completions, models, errors of its own classes", async () => {
  const completion = await client.completions.create({
    model: "tiny",
    prompt: "Once upon a time",
    max_tokens: 5,
    n: 2,
  });
  assert.equal(completion.choices.length, 2);
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("tiny"));
  await assert.rejects(
    client.chat.completions.create({ ...fields, temperature: 9 }),
    OpenAI.BadRequestError,
  );
  await assert.rejects(
    client.chat.completions.create({ ...fields, model: "other" }),
    OpenAI.NotFoundError,
  );
});

test("openai: a stream that is broken off", async () => {
  const stream = await client.chat.completions.create({
    ...fields,
    max_tokens: 400,
    ignore_eos: true,
    stream: true,
  });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) break;
  }
  assert.ok(stream.controller.signal.aborted);
});

test("the AI SDK", async () => {
  const provider = createOpenAICompatible({ name: "smallmind", baseURL: `${url}/v1` });
  const model = provider("tiny");
  const ask = { model, prompt: "Hello!", temperature: 0, maxOutputTokens: 12, maxRetries: 0 };
  const whole = await generateText(ask);
  assert.ok(whole.text);
  let text = "";
  for await (const part of streamText(ask).textStream) text += part;
  assert.equal(text, whole.text);
});

test("fetch, with a parser of server-sent events", async () => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...fields, stream: true }),
  });
  let text = "";
  let done = false;
  const parser = createParser({
    onEvent(event) {
      if (event.data === "[DONE]") done = true;
      else text += JSON.parse(event.data).choices[0]?.delta?.content ?? "";
    },
  });
  const decoder = new TextDecoder();
  for await (const part of response.body) parser.feed(decoder.decode(part, { stream: true }));
  const whole = await client.chat.completions.create(fields);
  assert.ok(done);
  assert.equal(text, whole.choices[0].message.content);
});
