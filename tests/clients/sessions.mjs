// Sessions of connect-redis through Sentinel: `sessions.mjs enqueue N` stores them, `sessions.mjs work` looks them up
// one after the other.

import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.MODULES + "/");
const { createSentinel } = require("redis");
const { RedisStore } = await import(pathToFileURL(require.resolve("connect-redis")));

const client = createSentinel({
  name: "m",
  sentinelRootNodes: [{ host: "127.0.0.1", port: Number(process.env.SENTINEL) }],
  scanInterval: 500,
});
client.on("error", () => {});
await client.connect();
const store = new RedisStore({ client, prefix: "session:" });
const sessions = 200;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

if (process.argv[2] === "enqueue") {
  for (let number = 0; number < Number(process.argv[3]); number++) {
    await store.set(`${number}`, { number, cookie: { maxAge: 3_600_000 } });
  }
  const behind = (await client.sendCommand(false, ["WAIT", "1", "10000"])) !== 1;
  if (behind) throw new Error("the replica is behind");
  client.destroy();
} else {
  for (let number = 0; number < sessions; ) {
    await pause(20);
    try {
      const session = await store.get(`${number}`);
      if (session?.number !== number) throw new Error(`session ${number} is lost`);
      await store.touch(`${number}`, session);
      appendFileSync(process.env.DONE, `${number}\n`);
      number++;
    } catch (error) {
      if (/is lost/.test(error.message)) throw error;
    }
  }
  client.destroy();
}
