// Certificates by ACME with the real program and a CA that checks everything: a first one by HTTP-01
// with nothing but port HTTP open, a first one by TLS-ALPN-01, renewals under load with nothing lost,
// what a second process on the same folder does, and what status, metrics and check say.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '../support/acme-jws.ts';
import { AcmeServer } from '../support/acme-server.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const run = promisify(execFile);

let folder: string;
let ca: AcmeServer;
let endpoint: EndpointProcess;
let started: UpriverProcess[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-acme-'));
  ca = await AcmeServer.start();
  endpoint = await startEndpoint('one');
  started = [];
});

afterEach(async () => {
  for (const one of started) await one.stop();
  await endpoint.kill();
  await ca.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Parts {
  readonly http: number | null;
  readonly https: number;
  readonly acme?: string;
}

function configOf({ http, https, acme = '' }: Parts): string {
  const path = join(folder, `upriver-${https}.yaml`);
  const plain = http === null ? '' : `{ address: "127.0.0.1:${http}", redirect_https: true }, `;
  writeFileSync(
    path,
    `static: { web: [ "127.0.0.1:${endpoint.port}" ] }
tls:
  certificates:
    - acme: { directory: "${ca.directory}", email: ops@example.com, domains: [site.test], dir: ${folder}/acme${acme} }
services:
  web: { listen: [ ${plain}{ address: "127.0.0.1:${https}", tls: true } ] }
`,
  );
  return path;
}

async function start(parts: Parts): Promise<UpriverProcess> {
  const args = ['--config', configOf(parts), '--workers', '2'];
  const upriver = await startUpriver({ args });
  started.push(upriver);
  return upriver;
}

/** One request over a connection of its own; its answer and the certificate's fingerprint. */
function ask(port: number): Promise<{ status: number; fingerprint: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      ...{ host: '127.0.0.1', port, servername: 'site.test', ca: ca.authority.ca, agent: false },
      headers: { host: 'site.test' },
    };
    const asked = request(options, (response) => {
      const { fingerprint256 } = (
        response.socket as import('node:tls').TLSSocket
      ).getPeerX509Certificate()!;
      response.resume();
      response.on('end', () =>
        resolve({ status: response.statusCode!, fingerprint: fingerprint256 }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

const received = ({ msg }: { msg: string }) => msg === 'certificate received';
/** Until listeners have the certificate that was received. */
async function served(port: number): Promise<string> {
  let fingerprint = '';
  await expect
    .poll(
      async () => {
        const answer = await ask(port).catch(() => null);
        fingerprint = answer?.fingerprint ?? '';
        return answer?.status;
      },
      { interval: 50 },
    )
    .toBe(200);
  return fingerprint;
}

describe('a certificate', () => {
  it('comes by HTTP-01 before the redirect to https, and is renewed under load', async () => {
    const [http, https] = (await freePorts(2)) as [number, number];
    ca.behaviour.ports = { http, tls: https };
    // Two thirds of the life are over at once, and there is time enough before it ends.
    ca.behaviour.fromMs = -80_000;
    ca.behaviour.lifeMs = 40_000;
    const upriver = await start({ http, https });
    // Nobody is shown anything that is no certificate.
    await expect(ask(https)).rejects.toThrow();
    await upriver.waitForLog(received, 'the certificate');
    const first = await served(https);
    // The renewal may be under way.
    expect(ca.looked[0]).toEqual({ type: 'http-01', domain: 'site.test', problem: '' });
    const open = connect({
      ...{ host: '127.0.0.1', port: https, servername: 'site.test', ca: ca.authority.ca },
    });
    let isLost = false;
    open.on('error', () => {});
    open.on('close', () => {
      isLost = true;
    });
    // Renewed while requests come, over the connection that is open and over new ones.
    const seen = new Set<string>();
    // The first one ends after 40 s: a renewal that comes later is seen as a failure.
    const end = performance.now() + 45_000;
    while (seen.size < 2 && performance.now() < end) {
      const { status, fingerprint } = await ask(https);
      expect(status).toBe(200);
      seen.add(fingerprint);
      const answered = once(open, 'data');
      open.write('GET / HTTP/1.1\r\nHost: site.test\r\n\r\n');
      expect(String((await answered)[0])).toMatch(/^HTTP\/1.1 200/);
      expect(isLost).toBe(false);
    }
    open.destroy();
    expect(seen.size).toBe(2);
    expect(seen).toContain(first);
    expect(ca.accountCount).toBe(1);
    const metrics = await (await fetch(`${upriver.statsUrl}/metrics`)).text();
    expect(metrics).toMatch(/upriver_acme_renewals_total\{file="[^"]*site\.test\.pem"\} [2-9]/);
    expect(metrics).toMatch(/upriver_acme_failures_total\{[^}]*\} 0/);
    expect(metrics).toMatch(/upriver_tls_certificate_valid\{[^}]*\} 1/);
  });

  it('comes by TLS-ALPN-01 where nothing but TLS is open', async () => {
    const [https] = (await freePorts(1)) as [number];
    ca.behaviour.ports = { http: 1, tls: https };
    ca.behaviour.tlsVersion = 'TLSv1.2';
    const upriver = await start({ http: null, https });
    await upriver.waitForLog(received, 'the certificate');
    await served(https);
    expect(ca.looked).toEqual([{ type: 'tls-alpn-01', domain: 'site.test', problem: '' }]);
    const { stdout } = await run(process.execPath, [
      ...[join(import.meta.dirname, '../../bin/upriver.mjs'), 'status'],
      ...['--stats', upriver.statsUrl],
    ]);
    expect(stdout).toMatch(/site\.test\.pem \(site\.test\): until .*; ACME: renewal at 20/);
  });

  it('that is refused is told everywhere, and asked for again after the time that the CA names', async () => {
    const [http, https] = (await freePorts(2)) as [number, number];
    ca.behaviour.ports = { http, tls: https };
    const refusal = new Refusal('rateLimited', 'slow down', 429, { 'retry-after': '6' });
    ca.behaviour.refusals.push({ resource: 'new-order', refusal });
    const upriver = await start({ http, https });
    const refused = await upriver.waitForLog(
      ({ msg }) => msg.includes('rateLimited: slow down'),
      'the refusal',
    );
    const status = (await (await fetch(`${upriver.statsUrl}/api/v1/status`)).json()) as {
      problems: string[];
      certificates: { acme: { state: string; failures: number } }[];
    };
    expect(status.problems.join()).toContain('slow down');
    expect(status.certificates[0]!.acme).toMatchObject({ state: 'waiting', failures: 1 });
    expect(await (await fetch(upriver.statsUrl)).text()).toContain('slow down');
    const got = await upriver.waitForLog(received, 'the certificate');
    // By the program's own clock: this process may see the lines late.
    const [fromMs, toMs] = [refused, got].map(({ time }) => Date.parse(String(time)));
    expect(toMs! - fromMs!).toBeGreaterThan(5500);
    await served(https);
  });

  it('is ordered once by two processes with one folder, whichever the CA reaches', async () => {
    const [http, https, other] = (await freePorts(3)) as [number, number, number];
    const [otherHttp] = (await freePorts(1)) as [number];
    ca.behaviour.ports = { http: otherHttp, tls: 1 };
    const [first, second] = await Promise.all([
      start({ http, https }),
      start({ http: otherHttp, https: other }),
    ]);
    await Promise.race([
      first.waitForLog(received, 'the certificate'),
      second.waitForLog(received, 'the certificate'),
    ]);
    expect(await served(https)).toBe(await served(other));
    expect(ca.issued).toHaveLength(1);
  });

  it('goes on being ordered after a kill in the middle', async () => {
    const [http, https] = (await freePorts(2)) as [number, number];
    ca.behaviour.ports = { http, tls: https };
    ca.behaviour.looks = 1000;
    const first = await start({ http, https });
    await ca.until(() => ca.issued.length === 1);
    first.signal('SIGKILL');
    await first.exited;
    ca.finish();
    const second = await start({ http, https });
    await second.waitForLog(received, 'the certificate');
    await served(https);
    expect(ca.issued).toHaveLength(1);
    expect(ca.countOf('new-order')).toBe(1);
  });
});

it('`check` names what will keep a certificate from coming', async () => {
  const path = join(folder, 'check.yaml');
  writeFileSync(
    path,
    `static: { web: [ "127.0.0.1:1" ] }
services: { web: {} }
routers:
  - listen: { address: ":443", tls: { certificates: [ { acme: { domains: [a.test, b.test], challenge: http-01, dir: ${path}/acme } } ] } }
    routes: [ { host: a.test, service: web } ]
`,
  );
  const checked = spawnUpriver(['check', '--config', path], {});
  expect(await checked.exited).toBe(1);
  const output = checked.output();
  expect(output).toContain(
    'no listener answers http-01: expected one that speaks HTTP without TLS',
  );
  expect(output).toContain('b.test is the host of no route: expected one of a.test');
  expect(output).toMatch(/dir can't be written: ENOTDIR/);
});
