// Live queues of BullMQ for Node in every state. Prints the library's own counts as one line of JSON
// once they are stable, and keeps the queues unchanged until its standard input ends.
// node scenario.mjs <bullmq5|bullmq6> <port>
import { setTimeout as sleep } from 'node:timers/promises';

const [library, port] = process.argv.slice(2);
const { Queue, Worker, FlowProducer } = await import(library);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };

const mail = new Queue('mail', { connection });
const paused = new Queue('paused', { connection });
const busy = new Queue('busy', { connection });
const flows = new FlowProducer({ connection });

let release;
const held = new Promise((resolve) => (release = resolve));
const worker = new Worker(
  'busy',
  async (job) => {
    if (job.name === 'fail') throw new Error('as requested');
    if (job.name === 'hold') await held;
    return { ok: true };
  },
  { connection, concurrency: 1 },
);
await worker.waitUntilReady();

for (let i = 0; i < 4; i++) await busy.add('done', { i });
for (let i = 0; i < 3; i++) await busy.add('fail', { i });
await busy.add('gone', {}, { removeOnComplete: true });
const countsWhen = async (reached) => {
  for (;;) {
    const counts = await busy.getJobCounts();
    if (reached(counts)) return counts;
    await sleep(20);
  }
};
await countsWhen((c) => c.completed === 4 && c.failed === 3 && c.active === 0);
await busy.add('hold', {});
await countsWhen((c) => c.active === 1);
for (let i = 0; i < 5; i++) await busy.add('later', { i });

for (let i = 0; i < 6; i++) await mail.add('plain', { i });
for (let i = 0; i < 2; i++) await mail.add('soon', { i }, { delay: 3_600_000 });
for (let i = 0; i < 3; i++) await mail.add('urgent', { i }, { priority: i + 1 });
await flows.add({
  name: 'parent',
  queueName: 'mail',
  data: {},
  children: [{ name: 'child', queueName: 'children', data: {} }],
});

await paused.add('before', {});
await paused.pause();
await paused.add('after', {});
await paused.add('urgent', {}, { priority: 1 });

const children = new Queue('children', { connection });
const counts = {};
for (const queue of [mail, paused, busy, children]) counts[queue.name] = await queue.getJobCounts();
console.log(JSON.stringify(counts));

process.stdin.resume();
process.stdin.on('end', async () => {
  release();
  await worker.close(true);
  process.exit(0);
});
