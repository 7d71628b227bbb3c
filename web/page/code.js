/* code.js - a request as curl, Python and JavaScript, to be copied. Pure.
 *
 * Each needs nothing but the language itself. The key is never in it: it stands in the environment
 * variable SMALLMIND_API_KEY, where the server needs one.
 */
const code = (() => {
  const VARIABLE = "SMALLMIND_API_KEY";

  const shell = text => `'${text.replaceAll("'", "'\\''")}'`;

  const curl = (url, body, keyed) => [
    `curl -N ${shell(url)}`,
    keyed ? `  -H "Authorization: Bearer $${VARIABLE}"` : null,
    "  -H 'Content-Type: application/json'",
    `  -d ${shell(JSON.stringify(body))}`,
  ].filter(Boolean).join(" \\\n") + "\n";

  /* A JSON value in Python's words. JSON's strings are Python's. */
  const python = (value, indent) => {
    const inner = `${indent}    `;
    if (value === null) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (Array.isArray(value))
      return value.every(one => typeof one !== "object")
        ? `[${value.map(one => python(one, "")).join(", ")}]`
        : `[\n${value.map(one => `${inner}${python(one, inner)},\n`).join("")}${indent}]`;
    if (typeof value === "object")
      return `{\n${Object.entries(value).map(([name, one]) =>
        `${inner}${JSON.stringify(name)}: ${python(one, inner)},\n`).join("")}${indent}}`;
    return JSON.stringify(value);
  };

  const inPython = (url, body, keyed, path) => `import json
${keyed ? "import os\n" : ""}import urllib.request

request = urllib.request.Request(
    ${JSON.stringify(url)},
    headers={
        "Content-Type": "application/json",
${keyed ? `        "Authorization": f"Bearer {os.environ['${VARIABLE}']}",\n` : ""}    },
    data=json.dumps(${python(body, "    ")}).encode(),
)
with urllib.request.urlopen(request) as answer:
    for line in answer:
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            event = json.loads(line[6:])
${path === "/generate" ? `            print(event["text"], end="", flush=True)
` : `            for choice in event["choices"]:
                print(choice["delta"].get("content") or "", end="", flush=True)
`}print()
`;

  const inJavaScript = (url, body, keyed, path) => `const url = ${JSON.stringify(url)};
const response = await fetch(url, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
${keyed ? `    Authorization: \`Bearer \${process.env.${VARIABLE}}\`,\n` : ""}  },
  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),
});
if (!response.ok) throw new Error(await response.text());
const decoder = new TextDecoder();
let rest = "", text = "";
for await (const part of response.body) {
  const lines = (rest + decoder.decode(part, { stream: true })).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
    const event = JSON.parse(line.slice(6));
    text += ${path === "/generate" ? "event.text" : "event.choices[0]?.delta.content ?? \"\""};
  }
}
console.log(text);
`;

  /* {curl, python, javascript} */
  const all = (path, body, keyed) => {
    const url = new URL(path, location.origin).href;
    return { curl: curl(url, body, keyed), python: inPython(url, body, keyed, path),
      javascript: inJavaScript(url, body, keyed, path) };
  };

  return { all };
})();
