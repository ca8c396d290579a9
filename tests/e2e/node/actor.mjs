// One part in a scenario: node actor.mjs <bullmq5|bullmq6> <port> '<JSON>'
// { role: "producer", queue, count, every, options }   adds jobs; every ms, or all at once
// { role: "worker", queue, concurrency, ms, limiter, options }  works until it is killed
// { role: "admin", queue, call, args }                 calls a method of the Queue and ends
// Prints "ready" when it has begun (a producer or admin: when it is done with what it adds at once).
import { setTimeout as sleep } from 'node:timers/promises';

const [library, port, text] = process.argv.slice(2);
const part = JSON.parse(text);
const { Queue, Worker } = await import(library);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };

if (part.role === 'worker') {
  const worker = new Worker(
    part.queue,
    async () => {
      await sleep(part.ms ?? 1);
      if (Math.random() < (part.failing ?? 0)) throw new Error('as asked');
    },
    { connection, concurrency: part.concurrency ?? 1, limiter: part.limiter, ...part.options },
  );
  worker.on('error', () => {});
  await worker.waitUntilReady();
  console.log('ready');
} else {
  const queue = new Queue(part.queue, { connection });
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
