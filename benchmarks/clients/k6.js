// k6 with a unique id in every request and the same check of each answer.
// Usage: k6 run --vus N --duration 4s --env URL=http://... k6.js

import { check } from "k6";
import http from "k6/http";

const PARAMS = { headers: { "Content-Type": "application/json" } };

// The message of an answer, which may come as JSON or as one event of a stream; undefined where there is none.
function messageOf(text) {
  const json = text.startsWith("event:") ? text.slice(text.indexOf("data: ") + 6) : text;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

export default function () {
  const id = `${__VU}_${__ITER}`;
  const call = { jsonrpc: "2.0", id, method: "list_databases", params: { _client_id: "client_1" } };
  const response = http.post(__ENV.URL, JSON.stringify(call), PARAMS);
  check(response, {
    right: (r) => {
      const message = r.status === 200 ? messageOf(r.body) : undefined;
      return message !== undefined && message.id === id && message.result !== undefined;
    },
  });
}

// Prints the line that the rig reads.
export function handleSummary(data) {
  const { passes, fails } = data.metrics.checks.values;
  return { stdout: JSON.stringify({ calls: passes + fails, errors: fails }) + "\n" };
}
