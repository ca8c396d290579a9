// Random operations on two queues, `mail` and `children`, with workers that process them meanwhile.
// node random_operations.mjs <bullmq5|bullmq6> <port> <seed> '<JSON list of operations to leave out>'
// For each line `<number>` on standard input, runs that many operations, or fewer up to an obliterate,
// and prints their number by name as one line of JSON. Ends with its standard input.
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const [library, port, seed, without = '[]'] = process.argv.slice(2);
const { DelayedError, FlowProducer, Queue, Worker } = await import(library);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const NAMES = ['mail', 'children'];

// mulberry32: the same seed chooses the same operations
let state = Number(seed);
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (items) => items[below(items.length)];

const queues = NAMES.map((name) => new Queue(name, { connection }));
const flows = new FlowProducer({ connection });
for (const queue of queues) await queue.waitUntilReady();

async function process_(job, token) {
  await sleep(1 + (job.id?.length ?? 0) % 5);
  if (job.name === 'fail') throw new Error('as requested');
  if (job.name === 'flaky' && job.attemptsMade < 2) throw new Error('as requested');
  if (job.name === 'later' && !job.data.moved) {
    await job.update?.({ moved: true });
    await job.updateData?.({ moved: true });
    await job.moveToDelayed(Date.now() + 10, token);
    throw new DelayedError();
  }
  if (job.name === 'limited' && !job.data.moved && Worker.RateLimitError) {
    await job.update?.({ moved: true });
    await job.updateData?.({ moved: true });
    await workers[0].rateLimit(5);
    throw Worker.RateLimitError();
  }
  return { ok: true };
}
const workers = NAMES.map((name) => new Worker(name, process_, { connection, concurrency: 3 }));
for (const worker of workers) worker.on('error', () => {});
for (const queue of queues) queue.on('error', () => {});

const outcomes = ['ok', 'ok', 'ok', 'fail', 'flaky', 'later', 'limited'];
const options = () =>
  pick([
    {},
    { removeOnComplete: true, removeOnFail: true },
    { removeOnComplete: { count: 3 }, removeOnFail: { count: 3 } },
    { attempts: 3 },
    { attempts: 3, backoff: { type: 'fixed', delay: 10 } },
    { lifo: true },
    { delay: 5 + below(50) },
    { delay: 3_600_000 },
    { priority: 1 + below(5) },
    { priority: 1 + below(5), attempts: 3 },
    { jobId: `own-${below(30)}` },
  ]);
const deduplication = () => {
  const id = `d${below(4)}`;
  return pick([
    { id },
    { id, ttl: 50 },
    { id, ttl: 50, extend: true },
    { id, ttl: 50, extend: true, replace: true },
    { id, replace: true },
    { id, keepLastIfActive: true },
  ]);
};
const child = () => ({
  name: pick(outcomes),
  queueName: pick(NAMES),
  opts: { ...pick([{}, { failParentOnFailure: true }, { ignoreDependencyOnFailure: true },
    { removeDependencyOnFailure: true }, { continueParentOnFailure: true }, { delay: 3_600_000 }]) },
});
const STATES = ['waiting', 'delayed', 'failed', 'completed', 'prioritized', 'waiting-children', 'paused'];
const some = async (queue, states) => {
  const jobs = (await queue.getJobs(states, 0, 20)).filter(Boolean);
  return jobs.length ? pick(jobs) : undefined;
};

const operations = {
  add: (queue) => queue.add(pick(outcomes), {}, options()),
  addMore: (queue) => queue.add(pick(outcomes), {}, options()),
  addBulk: (queue) =>
    queue.addBulk([1, 2, 3].map(() => ({ name: pick(outcomes), data: {}, opts: options() }))),
  deduplicate: (queue) =>
    queue.add(pick(outcomes), {}, { deduplication: deduplication(), ...pick([{}, { delay: 200 }]) }),
  flow: (queue) =>
    flows.add({ name: pick(outcomes), queueName: queue.name, children: [child(), child()] }),
  deepFlow: (queue) =>
    flows.add({
      name: 'ok',
      queueName: queue.name,
      children: [{ name: 'ok', queueName: pick(NAMES), children: [child()] }, child()],
    }),
  remove: async (queue) => (await some(queue, [pick(STATES)]))?.remove(),
  removeAlone: async (queue) =>
    (await some(queue, [pick(STATES)]))?.remove({ removeChildren: false }),
  removeChildren: async (queue) =>
    (await some(queue, ['waiting-children']))?.removeUnprocessedChildren?.(),
  retry: async (queue) => {
    const from = pick(['failed', 'completed']);
    return (await some(queue, [from]))?.retry(from);
  },
  retryJobs: (queue) => queue.retryJobs?.({ state: pick(['failed', 'completed']), count: 5 }),
  promote: async (queue) => (await some(queue, ['delayed']))?.promote(),
  promoteJobs: (queue) => queue.promoteJobs?.({ count: 5 }),
  changeDelay: async (queue) => (await some(queue, ['delayed']))?.changeDelay(20 + below(100)),
  changePriority: async (queue) =>
    (await some(queue, ['prioritized', 'waiting']))?.changePriority?.({ priority: below(4) }),
  pause: async (queue) => {
    await queue.pause();
    await sleep(below(20));
    if (below(2)) await queue.add('ok', {}, options());
    await queue.resume();
  },
  scheduler: (queue) =>
    queue.upsertJobScheduler?.(
      `s${below(3)}`,
      pick([{ every: 60 + below(3) * 20 }, { every: 3_600_000 }, { pattern: '*/1 * * * * *' }]),
      { name: pick(['ok', 'flaky']), opts: pick([{}, { attempts: 3 }, { priority: 2 }]) },
    ),
  repeatable: (queue) =>
    queue.upsertJobScheduler && library.includes('6')
      ? undefined
      : queue.add('ok', {}, { repeat: pick([{ every: 150 }, { pattern: '*/1 * * * * *' }]) }),
  removeScheduler: (queue) => queue.removeJobScheduler?.(`s${below(3)}`),
  removeRepeatable: async (queue) => {
    const found = (await queue.getRepeatableJobs?.()) ?? [];
    if (found.length) await queue.removeRepeatableByKey(pick(found).key);
  },
  clean: (queue) =>
    queue.clean(0, pick([0, 2]), pick(['wait', 'delayed', 'failed', 'completed', 'prioritized'])),
  drain: (queue) => queue.drain(below(2) === 1),
  obliterate: async (queue) => {
    await queue.obliterate({ force: true });
    await queue.resume();
  },
};
const RARE = { clean: 0.1, drain: 0.1, obliterate: 0.02 };
const names = Object.keys(operations).filter((name) => !JSON.parse(without).includes(name));

async function step(done) {
  const name = pick(names);
  const rare = random() > (RARE[name] ?? 1);
  const queue = pick(queues);
  if (rare) return;
  try {
    await operations[name](queue);
    done[name] = (done[name] ?? 0) + 1;
  } catch {
    // a job may be locked, or gone since it was looked up
  }
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const done = {};
  // the next poll must see the new stream before it has outgrown the old one, as which it would pass
  for (let i = 0; i < Number(line) && !done.obliterate; i++) await step(done);
  console.log(JSON.stringify(done));
}
process.exit(0);
