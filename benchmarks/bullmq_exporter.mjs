// BullMQ's own exporter: node bullmq_exporter.mjs FOLDER_OF_NODE_MODULES PORT
// Each line on stdin exports all queues once; the reply is a line of JSON.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, port] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { Queue } = require("bullmq");
const Redis = require("ioredis");

const connection = new Redis(Number(port), { maxRetriesPerRequest: null });
connection.setMaxListeners(0);
const names = [];
for await (const keys of connection.scanStream({ match: "bull:*:meta", count: 5000 })) {
  names.push(...keys.map((key) => key.split(":")[1]));
}
const queues = names.map((name) => new Queue(name, { connection, skipMetasUpdate: true }));
await Promise.all(queues.map((queue) => queue.waitUntilReady()));

for await (const _ of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage();
  const texts = await Promise.all(queues.map((queue) => queue.exportPrometheusMetrics()));
  const page = texts.join("\n");
  const { user, system } = process.cpuUsage(before);
  const rss = process.memoryUsage.rss() / 1e6;
  console.log(JSON.stringify({ cpu_ms: (user + system) / 1000, rss_mb: rss, bytes: page.length }));
}
process.exit(0);
