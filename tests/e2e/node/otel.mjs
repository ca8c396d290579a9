// A service with BullMQ's own OpenTelemetry metrics: node otel.mjs <port for its /metrics>
// Prints the names of all those metrics as JSON. Then each line of standard input adds jobs, as JSON:
// {"port": of a Redis, "queue": its name, "jobs": {kind: number}}; kinds are "good", "bad" (fails
// finally), "again" (retried at once), "later" (retried after a delay), "returned" (put back by its
// processor) and "parent" (waits for a child that it adds). Prints "done" when all have finished.
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { MetricNames, Queue, WaitingChildrenError, WaitingError, Worker } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';

const exporter = new PrometheusExporter({ host: '127.0.0.1', port: Number(process.argv[2]) });
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }));
// process metrics, as client libraries export them
const meter = metrics.getMeter('process');
const started = Date.now() / 1000 - process.uptime();
const read = {
  process_start_time_seconds: () => started,
  process_resident_memory_bytes: () => process.memoryUsage().rss,
  process_open_fds: () => readdirSync('/proc/self/fd').length,
};
for (const [name, value] of Object.entries(read))
  meter.createObservableGauge(name).addCallback((result) => result.observe(value()));
meter
  .createObservableCounter('process_cpu_seconds')
  .addCallback((result) => result.observe(process.cpuUsage().user / 1e6));
const telemetry = new BullMQOtel({ tracerName: 'service', enableMetrics: true });
const options = {
  again: { attempts: 2 },
  later: { attempts: 2, backoff: { type: 'fixed', delay: 50 } },
};

async function work(queue, job, token) {
  const first = job.attemptsStarted === 1;
  if (job.name === 'bad' || (job.name in options && first)) throw new Error('as requested');
  if (job.name === 'returned' && first) {
    await job.moveToWait(token);
    throw new WaitingError();
  }
  // a child that finishes before its parent waits for it would leave nothing to wait for
  if (job.name === 'child')
    while ((await queue.getJobState(job.parent.id)) !== 'waiting-children') await sleep(5);
  if (job.name === 'parent' && first) {
    const parent = { id: job.id, queue: job.queueQualifiedName };
    await queue.add('child', {}, { parent });
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
  }
}

const opened = new Map();
async function open(port, name) {
  const key = `${port} ${name}`;
  if (!opened.has(key)) {
    const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
    const queue = new Queue(name, { connection, telemetry });
    const run = (job, token) => work(queue, job, token);
    const worker = new Worker(name, run, { connection, telemetry, concurrency: 5 });
    worker.on('error', () => {});
    await worker.waitUntilReady();
    opened.set(key, { queue, total: 0 });
  }
  return opened.get(key);
}

console.log(JSON.stringify(Object.values(MetricNames)));
for await (const line of createInterface({ input: process.stdin })) {
  const { port, queue: name, jobs } = JSON.parse(line);
  const state = await open(port, name);
  for (const [kind, number] of Object.entries(jobs)) {
    for (let i = 0; i < number; i++) await state.queue.add(kind, {}, options[kind]);
    state.total += kind === 'parent' ? 2 * number : number;
  }
  for (;;) {
    const { completed, failed } = await state.queue.recordJobCountsMetric();
    if (completed + failed === state.total) break;
    await sleep(20);
  }
  console.log('done');
}
