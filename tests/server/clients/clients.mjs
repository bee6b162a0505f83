// Asks a server through a client of npm's, and prints what came back as JSON. Arguments: client, address.
const [client, address] = process.argv.slice(2);
const messages = (name) => [{ role: "user", content: `Please say:${name}` }];
const city = { type: "object", properties: { city: { enum: ["Lima"] } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const model = "scripted";

async function joined(stream, text) {
  let all = "";
  for await (const part of stream) all += text(part) ?? "";
  return all;
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
}

async function openai() {
  const { default: OpenAI } = await import("openai");
  const ai = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
  const chat = (name, more = {}) => ai.chat.completions.create({ model, messages: messages(name), ...more });
  const names = [];
  for await (const one of ai.models.list()) names.push(one.id);
  const schema = { type: "json_schema", json_schema: { name: "city", schema: city, strict: true } };
  const question = { type: "choice", instructions: "?", choices: [{ value: "no" }, { value: "yes" }] };
  const error = await refused(ai.chat.completions.create({ model: "other", messages: messages("words") }));
  return {
    models: names,
    whole: (await chat("words")).choices[0].message.content,
    streamed: await joined(await chat("split", { stream: true }), (part) => part.choices[0]?.delta.content),
    calls: (await chat("calls", { tools })).choices[0].message.tool_calls.map((call) => call.function.arguments),
    parsed: (await ai.chat.completions.parse({ model, messages: messages("words"), response_format: schema })).choices[0]
      .message.parsed,
    response: (await ai.responses.create({ model, input: "Please say:words" })).output_text,
    events: await joined(await ai.responses.create({ model, input: "Please say:words", stream: true }), (event) =>
      event.type === "response.output_text.delta" ? event.delta : ""),
    completion: (await ai.completions.create({ model, prompt: "<|words|>" })).choices[0].text,
    lengths: (await ai.embeddings.create({ model, input: ["one", "two"] })).data.map((one) => one.embedding.length),
    decision: (await ai.post("/decisions", { body: { model, input: "x", questions: [question] } })).answers[0].choice,
    error: [error.status, error.code],
  };
}

async function ollama() {
  const { Ollama } = await import("ollama");
  const ai = new Ollama({ host: address });
  const chat = (name, more = {}) => ai.chat({ model, messages: messages(name), ...more });
  const questions = { q: { type: "choice", instructions: "?", criteria: { no: null, yes: null } } };
  const error = await refused(ai.chat({ model: "other", messages: messages("words") }));
  return {
    version: (await ai.version()).version,
    models: (await ai.list()).models.map((one) => one.name),
    whole: (await chat("words")).message.content,
    streamed: await joined(await chat("split", { stream: true }), (part) => part.message.content),
    calls: (await chat("calls", { tools })).message.tool_calls.map((call) => call.function.arguments),
    lengths: (await ai.embed({ model, input: ["one", "two"] })).embeddings.map((one) => one.length),
    decision: (await ai.systemone({ model, state: "x", questions })).answers.q.choice,
    error: [error.status_code, error.error],
  };
}

console.log(JSON.stringify(await { openai, ollama }[client]()));
