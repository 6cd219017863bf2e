// graphile-worker: node graphile_queue.mjs DSN NPM_HOME; orders and answers as resident.py has them.
// `batching` is the preset behind its published figure: a local queue, completions in batches.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const [dsn, home] = process.argv.slice(2);
const require = createRequire(`${home}/`);
const { run, runMigrations, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const logger = new Logger(() => () => {});
const pool = new Pool({ connectionString: dsn, max: 60 });
const ignore = () => {};
pool.on("error", ignore);
pool.on("connect", (client) => client.on("error", ignore)); // it asks for both

const JOBS = "graphile_worker._private_jobs";
const ADD = `select 1 from graphile_worker.add_jobs(array(
  select json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`;
const BATCHING = {
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

async function fill(jobs) {
  await pool.query(`truncate ${JOBS}`);
  const specs = Array.from({ length: jobs }, (_, i) => ({ identifier: "noop", payload: { i } }));
  await pool.query(ADD, [JSON.stringify(specs)]);
  await pool.query(`vacuum analyze ${JOBS}`);
}

// A job leaves the table when its completion is durable, which is after its task has run.
async function empty() {
  const left = `select exists(select 1 from ${JOBS}) as any`;
  while ((await pool.query(left)).rows[0].any) await new Promise((done) => setTimeout(done, 2));
}

async function noop({ jobs, concurrency, batching }) {
  await fill(jobs);
  let left = jobs;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const worker = { concurrentJobs: concurrency, maxPoolSize: concurrency + 1 };
  const preset = { worker: { connectionString: dsn, ...worker, ...(batching ? BATCHING : {}) } };
  const taskList = { noop: () => { if (--left === 0) finish(); } };
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const runner = await run({ preset, pgPool: pool, logger, noHandleSignals: true, taskList });
  await finished;
  await empty();
  const seconds = (performance.now() - begun) / 1e3;
  const { user, system } = process.cpuUsage(cpu);
  await runner.stop();
  return { seconds, cpu_seconds: (user + system) / 1e6 };
}

await runMigrations({ pgPool: pool, logger });
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await noop(JSON.parse(line)).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify(answer));
}
process.exit(0);
