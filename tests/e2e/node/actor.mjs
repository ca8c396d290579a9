// Parts of a scenario: node actor.mjs <bullmq5|bullmq6> <port> '<JSON list of parts>'
// { role: "producer", queue, count, every, options }   adds jobs, every `every` ms or all at once
// { role: "worker", queue, concurrency, ms, limiter, options }  processes jobs until the process is killed
// { role: "flow", queue, children }                    adds a parent; its children are in queue-children
// { role: "admin", queue, call, args }                 calls a method of the Queue
// They start one after the other; a producer without `every` and an admin finish before the next.
// Prints "ready" when all have started.
// cluster: whether the port is that of a cluster node; db: number of the database; prefix: of the queue's
// keys; user: logs in with PASSWORD from the environment
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';

const [library, port, text] = process.argv.slice(2);
const { FlowProducer, Queue, Worker } = await import(library);
const address = { host: '127.0.0.1', port: Number(port) };

function optionsOf(part) {
  const login = part.user ? { username: part.user, password: process.env.PASSWORD } : {};
  const connection = part.cluster
    ? new Cluster([address], { redisOptions: { maxRetriesPerRequest: null } })
    : { ...address, ...login, db: part.db ?? 0, maxRetriesPerRequest: null };
  return { connection, ...(part.prefix ? { prefix: part.prefix } : {}) };
}

async function work(part) {
  const worker = new Worker(
    part.queue,
    async () => {
      await sleep(part.ms ?? 1);
      if (Math.random() < (part.failing ?? 0)) throw new Error('as requested');
    },
    {
      ...optionsOf(part),
      concurrency: part.concurrency ?? 1,
      limiter: part.limiter,
      ...part.options,
    },
  );
  worker.on('error', () => {});
  await worker.waitUntilReady();
}

async function addForever(queue, part) {
  for (;;) {
    await queue.add('task', {}, part.options);
    await sleep(part.every);
  }
}

async function addFlow(part) {
  const producer = new FlowProducer(optionsOf(part));
  const child = { name: 'child', queueName: `${part.queue}-children` };
  const children = Array.from({ length: part.children }, () => child);
  await producer.add({ name: 'parent', queueName: part.queue, children });
  await producer.close();
}

async function run(part) {
  const queue = new Queue(part.queue, optionsOf(part));
  await queue.waitUntilReady();
  if (part.role === 'admin') {
    await queue[part.call](...(part.args ?? []));
  } else if (part.every) {
    addForever(queue, part);
    return;
  } else {
    for (let i = 0; i < part.count; i++) await queue.add('task', { i }, part.options);
  }
  await queue.close();
}

const roles = { worker: work, flow: addFlow };
for (const part of JSON.parse(text)) await (roles[part.role] ?? run)(part);
console.log('ready');
