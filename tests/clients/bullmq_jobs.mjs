// Jobs of BullMQ through Sentinel: `bullmq_jobs.mjs enqueue N` and `bullmq_jobs.mjs work`.

import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES + "/");
const { Queue, Worker } = require("bullmq");
const { Redis } = require("ioredis");

const connection = {
  sentinels: [{ host: "127.0.0.1", port: Number(process.env.SENTINEL) }],
  name: "m",
  maxRetriesPerRequest: null,
};

if (process.argv[2] === "enqueue") {
  const queue = new Queue("jobs", { connection });
  for (let number = 0; number < Number(process.argv[3]); number++) {
    await queue.add("job", { number }, { attempts: 3 });
  }
  await queue.close();
  // What is not at the replica when the master dies is nobody's to keep.
  const client = new Redis(connection);
  await client.set("last", "write");
  if ((await client.wait(1, 10_000)) !== 1) throw new Error("the replica is behind");
  client.disconnect();
} else {
  const work = async (job) => {
    await new Promise((done) => setTimeout(done, 20));
    appendFileSync(process.env.DONE, `${job.data.number}\n`);
  };
  const options = { connection, stalledInterval: 3000, lockDuration: 3000, concurrency: 2 };
  new Worker("jobs", work, options).on("error", () => {});
}
