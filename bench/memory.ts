// Whether memory grows under load: ten minutes of small GETs, 64 KiB answers, POSTs and new
// connections, side by side, with the resident memory of the proxy read every second.
// usage: node bench/memory.ts [--minutes 10] [--json FILE]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { upriver } from './against/upriver.ts';
import { type Case, cases } from './cases.ts';
import { findWrk, runLoad } from './load.ts';
import { residentBytes } from './measure.ts';
import { startOrigin } from './origin.ts';
import { PROXY_CORE, startPinned } from './pinned.ts';
import { freeRange } from './ports.ts';
import { median } from './statistics.ts';

const MIXED = ['small', '64k', 'post-4k', 'fresh'];
const SAMPLE_MS = 1000;
const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    json: { type: 'string', default: '' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes >= 1)) {
  console.error(`bench: --minutes ${values.minutes}: expected 1 or more`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'upriver-memory-'));
const [port = 0, statsPort = 0, ...endpoints] = await freeRange(5);
const stops: (() => Promise<void>)[] = [];
try {
  const origin = await startOrigin(endpoints, join(folder, 'origin'));
  stops.push(() => origin.stop());
  const { metricsUrl: _, ...command } = upriver.prepare(upriver.find(), {
    ...{ port, statsPort, endpoints, workers: 1, folder, accessLog: '', connections: 2000 },
    protocol: 'http1',
    responses: 1,
    certificate: '',
    isTlsBehind: false,
  });
  const running = await startPinned({ cores: PROXY_CORE, ...command, port });
  stops.push(() => running.stop());
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(residentBytes(running.pid) / MIB), SAMPLE_MS);
  const wrk = findWrk();
  const mixed = cases.filter(({ name }) => MIXED.includes(name));
  const loads = await Promise.all(
    mixed.map((one: Case) => {
      const own = join(folder, one.name);
      mkdirSync(own);
      const options = { port, seconds: minutes * 60, folder: own, perSecond: 0 };
      return runLoad(wrk, one, options);
    }),
  );
  clearInterval(timer);
  tell(
    samples,
    loads.reduce((sum, { requests }) => sum + requests, 0),
  );
} finally {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Medians per minute, so that a collection of garbage in between does not count. */
function tell(samples: readonly number[], requests: number): void {
  const byMinute = Array.from(
    { length: minutes },
    (_, minute) => Math.round(median(samples.slice(minute * 60, minute * 60 + 60)) * 10) / 10,
  );
  const peak = Math.round(Math.max(...samples));
  console.log(`${requests} requests; resident memory by minute, MiB (median), peak ${peak}:`);
  console.log(byMinute.join('  '));
  if (values.json !== '') {
    writeFileSync(values.json, `${JSON.stringify({ requests, byMinute, peak })}\n`);
  }
}
