// Prints the result of a queue's exportPrometheusMetrics(): node export.mjs LIBRARY PORT QUEUE
const [library, port, name] = process.argv.slice(2);
const { Queue } = await import(library);
const queue = new Queue(name, { connection: { port: Number(port) } });
console.log(await queue.exportPrometheusMetrics());
await queue.close();
