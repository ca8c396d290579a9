// One part in a scenario: node actor.mjs <bullmq5|bullmq6> <port> '<JSON>'
// { role: "producer", queue, count, every, options }   adds jobs; every ms, or all at once
// { role: "worker", queue, concurrency, ms, limiter, options }  works until it is killed
// { role: "admin", queue, call, args }                 calls a method of the Queue and ends
// Prints "ready" when it has begun (a producer or admin: when it is done with what it adds at once).
// cluster: true has the port of a cluster's node; prefix: of the queue's keys
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';

const [library, port, text] = process.argv.slice(2);
const part = JSON.parse(text);
const { Queue, Worker } = await import(library);
const address = { host: '127.0.0.1', port: Number(port) };
const connection = part.cluster
  ? new Cluster([address], { redisOptions: { maxRetriesPerRequest: null } })
  : { ...address, maxRetriesPerRequest: null };
const prefix = part.prefix ? { prefix: part.prefix } : {};

if (part.role === 'worker') {
  const worker = new Worker(
    part.queue,
    async () => {
      await sleep(part.ms ?? 1);
      if (Math.random() < (part.failing ?? 0)) throw new Error('as asked');
    },
    { connection, ...prefix, concurrency: part.concurrency ?? 1, limiter: part.limiter, ...part.options },
  );
  worker.on('error', () => {});
  await worker.waitUntilReady();
  console.log('ready');
} else {
  const queue = new Queue(part.queue, { connection, ...prefix });
  await queue.waitUntilReady();
  if (part.role === 'admin') {
    await queue[part.call](...(part.args ?? []));
  } else {
    for (let i = 0; !part.every && i < part.count; i++) await queue.add('task', { i }, part.options);
  }
  console.log('ready');
  while (part.every) {
    await queue.add('task', {}, part.options);
    await sleep(part.every);
  }
  await queue.close();
}
