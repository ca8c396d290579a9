// Adds a job to a queue for each way to give BullMQ the URL redis://127.0.0.1:PORT/3, and prints where
// it connects to if the URL is a string: node urls.mjs LIBRARY PORT
import IORedis from "ioredis";

const [library, port] = process.argv.slice(2);
const { Queue } = await import(library);
const url = `redis://127.0.0.1:${port}/3`;
const connections = {
  instance: new IORedis(url, { maxRetriesPerRequest: null }),
  option: { url },
  parts: { host: "127.0.0.1", port: Number(port), db: 3 },
};
for (const [name, connection] of Object.entries(connections)) {
  await new Queue(name, { connection }).add("job", {});
}

// nothing may listen there, and nothing may be written
const queue = new Queue("string", { connection: url, skipMetasUpdate: true });
queue.on("error", () => {});
// in BullMQ 6, the connection belongs to the backend
const { host, port: other, db } = (queue.connection ?? queue.backend.connection).opts;
console.log(`${host}:${other}/${db ?? 0}`);
process.exit();
