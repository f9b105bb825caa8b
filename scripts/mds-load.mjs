// Load for the metadata service: RATE requests a second for SECONDS over CONNECTIONS kept open, every endpoint of every URL in turn. Prints one
// JSON object with the latencies in ms. A request that finds no connection free waits, and its waiting counts: a service that stalls cannot
// hide it by slowing its callers down.
//   node scripts/mds-load.mjs RATE SECONDS CONNECTIONS APP URL…
import net from 'node:net';
import process from 'node:process';

const [rate, seconds, connections] = process.argv.slice(2, 5).map(Number);
const [app, ...urls] = process.argv.slice(5);
const total = rate * seconds;

const form = 'content=hello';
const paths = [
  'pod/uuid',
  'pod/manifest',
  'pod/annotations',
  `apps/${app}/annotations`,
  `apps/${app}/image/manifest`,
  `apps/${app}/image/id`,
  'pod/hmac/sign',
];

const requests = urls.flatMap((text) => {
  const { host, pathname } = new URL(text);
  return paths.map((path) => {
    const head = (method) =>
      `${method} ${pathname}/acMetadata/v1/${path} HTTP/1.1\r\nHost: ${host}\r\n`;
    return path === 'pod/hmac/sign'
      ? `${head('POST')}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${String(form.length)}\r\n\r\n${form}`
      : `${head('GET')}\r\n`;
  });
});

const latencies = [];
const failures = new Map();
const idle = [];
const queue = [];
let sent = 0;

function finish(since, failure) {
  latencies.push(performance.now() - since);
  if (failure !== undefined) failures.set(failure, (failures.get(failure) ?? 0) + 1);
  if (latencies.length === total) report();
}

function next() {
  while (idle.length > 0 && queue.length > 0) idle.pop().ask(queue.shift());
}

/** One connection: a request at a time. */
function open() {
  const { hostname, port } = new URL(urls[0]);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    let since;
    let text = '';
    const one = {
      ask({ index, at }) {
        since = at;
        socket.write(requests[index % requests.length]);
      },
    };
    socket.setEncoding('latin1');
    socket.once('connect', () => resolve(one));
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      const end = text.indexOf('\r\n\r\n');
      const length = /\r\nContent-Length: (\d+)/i.exec(text.slice(0, end + 2))?.[1];
      if (end === -1 || text.length < end + 4 + Number(length ?? 0)) return;
      const status = text.slice(9, 12);
      text = '';
      const was = since;
      since = undefined;
      idle.push(one);
      finish(was, status === '200' ? undefined : status);
      next();
    });
    socket.on('close', () => {
      const at = idle.indexOf(one);
      if (at !== -1) idle.splice(at, 1);
      if (since !== undefined) finish(since, 'closed');
      if (latencies.length < total) void open().then((again) => idle.push(again) && next());
    });
  });
}

function report() {
  latencies.sort((a, b) => a - b);
  const at = (part) => latencies[Math.min(total - 1, Math.floor(total * part))];
  const answer = {
    requests: total,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    max: latencies.at(-1),
    failures: Object.fromEntries(failures),
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
}

for (let i = 0; i < connections; i += 1) idle.push(await open());
const start = performance.now();
const timer = setInterval(() => {
  const at = performance.now();
  const due = Math.min(total, Math.floor(((at - start) * rate) / 1000));
  for (; sent < due; sent += 1) queue.push({ index: sent, at });
  next();
  if (sent === total) clearInterval(timer);
}, 1);
