// An open-loop sale for k6: arrivals at a constant rate, each a user of the token file.
//
//   seckill mint --users 100000 > tokens.jsonl
//   k6 run -e TOKENS=tokens.jsonl -e ITEM=<item id> -e RATE=500 load/k6/buy.js
//
// URL (http://127.0.0.1:8080), RATE (200/s) and SECONDS (10) can be set the same way.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { SharedArray } from 'k6/data';

const url = __ENV.URL || 'http://127.0.0.1:8080';
const item = __ENV.ITEM;
const rate = Number(__ENV.RATE || 200);
const seconds = Number(__ENV.SECONDS || 10);
const run = Date.now().toString(16);

const tokens = new SharedArray('tokens', () =>
  open(__ENV.TOKENS || '../../tokens.jsonl')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line).token),
);

const granted = new Counter('orders_granted');
const refused = new Counter('orders_refused_by_rule');

// Refusals by rule are answers, not failures.
http.setResponseCallback(http.expectedStatuses(200, 201, 409));

export const options = {
  scenarios: {
    sale: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 64,
      maxVUs: 512,
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
  },
};

export function setup() {
  if (!item) {
    throw new Error('ITEM is not set');
  }
}

export default function () {
  const number = exec.scenario.iterationInTest;
  const answer = http.post(`${url}/api/v1/items/${item}/buy`, '{"quantity":1}', {
    headers: {
      Authorization: `Bearer ${tokens[number % tokens.length]}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': `${run}-${number}`,
    },
    tags: { name: 'buy' },
  });
  const body = answer.json();
  check(answer, {
    'an order or a named refusal': () =>
      answer.status < 300 ? body.order_id !== undefined : body.code !== undefined,
  });
  (answer.status < 300 ? granted : refused).add(1);
}
