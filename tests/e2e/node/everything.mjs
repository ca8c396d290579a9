// Endless traffic of every kind, so that every panel has data.
// node everything.mjs <bullmq5|bullmq6> <port of the queues> <port of another Redis>
// Prints "ready" when all queues exist. For a line of standard input such as "30 10", it adds 30 good
// and 10 bad jobs to `known`; each runs for 60 ms, and bad ones fail finally. Prints "done" when they
// have finished.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const [library, port, other] = process.argv.slice(2);
const { Queue, Worker, FlowProducer } = await import(library);
const at = (number) => ({ host: '127.0.0.1', port: Number(number), maxRetriesPerRequest: null });
const connection = at(port);
const work = (name, process, options = {}, where = connection) =>
  new Worker(name, process, { connection: where, ...options }).on('error', () => {});

const mail = new Queue('mail', { connection });
const limited = new Queue('limited', { connection });
const known = new Queue('known', { connection });
const resting = new Queue('resting', { connection });
const lost = new Queue('lost', { connection });
const flows = new FlowProducer({ connection });

await mail.setGlobalConcurrency(3);
await mail.upsertJobScheduler('tick', { every: 1000 }, { name: 'tick' });
await resting.pause();
await resting.add('letter', {});
await lost.add('letter', {});
await lost.add('letter', {}, { priority: 5 });
for (let i = 0; i < 50; i++) await limited.add('drop', {});

let hung = 0;
work(
  'mail',
  async (job) => {
    // two attempts run longer than their locks, so the jobs stall
    if (job.name === 'hang' && hung++ < 2) await sleep(4000);
    await sleep(20 + Math.random() * 100);
    if (job.name === 'flaky' && job.attemptsMade === 0) throw new Error('as requested');
    if (job.name === 'bad') throw new Error('as requested');
  },
  { concurrency: 3, lockDuration: 500, stalledInterval: 500, skipLockRenewal: true, maxStalledCount: 5 },
);
work('children', async () => sleep(300));
work('limited', async () => {}, { limiter: { max: 1, duration: 5000 } });
work('known', async (job) => {
  await sleep(60);
  if (job.name === 'bad') throw new Error('as requested');
});
work('lost', async () => {}, {}, at(other));

console.log('ready');
const total = { completed: 0, failed: 0 };
createInterface({ input: process.stdin }).on('line', async (line) => {
  const [good, bad] = line.split(' ').map(Number);
  for (let i = 0; i < good; i++) await known.add('good', {});
  for (let i = 0; i < bad; i++) await known.add('bad', {});
  total.completed += good;
  total.failed += bad;
  for (;;) {
    const counts = await known.getJobCounts();
    if (counts.completed === total.completed && counts.failed === total.failed) break;
    await sleep(50);
  }
  console.log('done');
});

for (;;) {
  await mail.add('plain', {});
  await mail.add('flaky', {}, { attempts: 2, backoff: { type: 'fixed', delay: 200 } });
  await mail.add('bad', {});
  await mail.add('hang', {});
  await mail.add('later', {}, { delay: 5000 });
  await mail.add('urgent', {}, { priority: 1 });
  await flows.add({
    name: 'parent',
    queueName: 'mail',
    children: [{ name: 'child', queueName: 'children' }],
  });
  await sleep(500);
}
