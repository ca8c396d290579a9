// Traffic of every kind on one queue; producers and workers count it themselves.
// node traffic.mjs <bullmq5|bullmq6> <port> <queue>: prints "ready", starts at a line of standard input,
// and prints its counts as JSON.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const [library, port, name] = process.argv.slice(2);
const { Queue, Worker, FlowProducer } = await import(library);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue(name, { connection });
await queue.waitUntilReady();
console.log('ready');
await once(process.stdin, 'data');

const own = { added: 0, started: 0, completed: 0, failed: 0, retried: 0, completedMs: 0 };
const add = async (kind, options) => {
  own.added++;
  return queue.add(kind, {}, options);
};
const worker = new Worker(
  name,
  async (job) => {
    own.started++;
    const began = Date.now();
    await sleep(20);
    const last = job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
    if (job.name === 'fail' || (job.name === 'flaky' && !last)) {
      own[last ? 'failed' : 'retried']++;
      throw new Error('as requested');
    }
    own.completed++;
    own.completedMs += Date.now() - began;
    return 'x'.repeat(1000);
  },
  { connection, concurrency: 3 },
);

for (let i = 0; i < 20; i++) await add('plain');
for (let i = 0; i < 3; i++) await add('gone', { removeOnComplete: true });
for (let i = 0; i < 3; i++)
  await add('flaky', { attempts: 3, backoff: { type: 'fixed', delay: 100 } });
for (let i = 0; i < 2; i++) await add('flaky', { attempts: 2 });
for (let i = 0; i < 2; i++) await add('fail', { attempts: 2 });
for (let i = 0; i < 3; i++) await add('later', { delay: 200 });
for (let i = 0; i < 3; i++) await add('urgent', { priority: 1 });
const doomed = await add('removed', { delay: 60_000 });
await doomed.remove();
own.added += 3;
await new FlowProducer({ connection }).add({
  name: 'parent',
  queueName: name,
  data: {},
  children: [1, 2].map(() => ({ name: 'child', queueName: name, data: {} })),
});
const total = () => own.completed + own.failed;
while (total() < 39) await sleep(20);
await sleep(300);
await worker.close();
console.log(JSON.stringify(own));
process.exit(0);
