// OpenAI's npm SDK, unchanged, against a gateway: `node openai_across.mjs BASE_URL` with the key in E2E_CLIENT_KEY.
// Prints one JSON object of what it was told; asking in this order: a chat, a stream, calls, their results, an error.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: process.env.E2E_CLIENT_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "What's the weather in New York, and the time?" }];
const tools = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } },
];
const told = {};

const whole = await client.chat.completions.create({ model: "google/gemini-2.5-flash", messages });
told.whole = whole.choices[0].message.content;

told.streamed = "";
for await (const chunk of await client.chat.completions.create({
  model: "mistral/mistral-small-latest", messages, stream: true,
})) {
  told.streamed += chunk.choices[0]?.delta?.content ?? "";
}

const stream = client.chat.completions.stream({ model: "anthropic/claude-sonnet-4-5", messages, tools });
const called = (await stream.finalChatCompletion()).choices[0].message;
told.calls = called.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

const results = called.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "fine" }));
const answer = await client.chat.completions.create({
  model: "anthropic/claude-sonnet-4-5", messages: [...messages, called, ...results], tools,
});
told.answered = answer.choices[0].message.content;

try {
  await client.chat.completions.create({ model: "groq/llama-3.3-70b-versatile", messages });
} catch (error) {
  told.failed = [error instanceof OpenAI.RateLimitError, error.status, error.headers.get("retry-after")];
}
console.log(JSON.stringify(told));
