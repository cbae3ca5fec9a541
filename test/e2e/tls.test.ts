// TLS from clients with the real program, real curl and openssl: certificates by name, replaced under
// load with nothing lost, resumption over all workers, versions, clients' certificates, redirects.
import { execFile } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const run = promisify(execFile);
const authority = new Authority();
afterAll(() => authority.remove());
const site = authority.issue(['site.test', '*.site.test']);
const other = authority.issue(['other.test']);
const alice = authority.issue([], { subject: '/CN=alice' });

let upriver: UpriverProcess | null = null;
let endpoint: EndpointProcess | null = null;

afterEach(async () => {
  await upriver?.stop();
  await endpoint?.kill();
  upriver = null;
  endpoint = null;
});

const file = (name: string) => join(authority.folder, name);

/** Starts with this configuration, `PORT0` and on replaced by free ports, and one endpoint. */
async function launch(config: (ports: readonly number[]) => string): Promise<number[]> {
  endpoint = await startEndpoint('one');
  const ports = await freePorts(3);
  const whole = `static: { web: [ "127.0.0.1:${endpoint.port}" ] }\n${config(ports)}`;
  writeFileSync(file('upriver.yaml'), whole);
  upriver = await startUpriver({ args: ['--config', file('upriver.yaml'), '--workers', '2'] });
  return [...ports];
}

const pairOf = ({ certFile, keyFile }: { certFile: string; keyFile: string }) =>
  `{ cert_file: ${certFile}, key_file: ${keyFile} }`;

/** curl for https://NAME:PORT/, which is at this machine. */
async function curl(name: string, port: number, ...more: string[]) {
  const resolve = ['--resolve', `${name}:${port}:127.0.0.1`, '--cacert', authority.caFile];
  const args = ['-sS', '-i', '--http1.1', '--max-time', '60', ...resolve, ...more];
  const url = more.some((one) => one.includes('://')) ? [] : [`https://${name}:${port}/`];
  return (await run(process.env.CURL_BIN ?? 'curl', [...args, ...url])).stdout;
}

/** What openssl says of the certificate that is sent for this name. */
async function subjectAt(port: number, name: string): Promise<string> {
  const where = ['-connect', `127.0.0.1:${port}`, '-servername', name];
  const asked = run('openssl', ['s_client', ...where, '-CAfile', authority.caFile]);
  asked.child.stdin!.end();
  return (await asked).stdout;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${upriver!.statsUrl}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('a service with TLS', () => {
  it('answers curl by the certificate of the name, speaks 1.2 and 1.3, and redirects to itself', async () => {
    const [port, plain] = await launch(
      ([tls, http]) => `
tls: { certificates: [ ${pairOf(site)}, ${pairOf(other)} ] }
services:
  web:
    listen: [ { address: "127.0.0.1:${tls}", tls: true, hsts: 1d }, { address: "127.0.0.1:${http}", redirect_https: true } ]
`,
    );
    for (const name of ['site.test', 'www.site.test', 'other.test']) {
      const answer = await curl(name, port!);
      expect(answer).toMatch(/^HTTP\/1\.1 200/);
      expect(answer).toContain('Strict-Transport-Security: max-age=86400\r\n');
    }
    expect(await curl('site.test', port!, '--tlsv1.2', '--tls-max', '1.2')).toContain('200 OK');
    await expect(curl('site.test', port!, '--tlsv1.1', '--tls-max', '1.1')).rejects.toThrow();
    const redirect = await curl('site.test', plain!, `http://site.test:${plain}/a?b=c`);
    expect(redirect).toContain(`Location: https://site.test:${port}/a?b=c\r\n`);
    const plainly = await curl('site.test', port!, `http://127.0.0.1:${port}/`);
    expect(plainly).toMatch(/^HTTP\/1\.1 400 [\s\S]*HTTPS/);
    expect(await metric('upriver_tls_certificate_expiry_seconds')).toBeGreaterThan(2e9);
    const status = await (await fetch(`${upriver!.statsUrl}/api/v1/status`)).text();
    expect(JSON.parse(status).certificates).toHaveLength(2);
    const told = spawnUpriver(['status', '--stats', upriver!.statsUrl.slice(7)], {});
    expect(await told.exited).toBe(0);
    expect(told.output()).toMatch(/certificate \S+ \(site\.test, \*\.site\.test\): until 20/);
    // No private key anywhere.
    const secret = site.key.split('\n')[1]!;
    const pages = ['/api/v1/status', '/api/v1/services', '/api/v1/events?format=json', '/metrics'];
    for (const page of pages) {
      expect(await (await fetch(upriver!.statsUrl + page)).text()).not.toContain(secret);
    }
    expect(upriver!.output()).not.toContain(secret);
  });

  it('replaces certificates under load, and loses no connection', async () => {
    const certFile = file('live.pem');
    const keyFile = file('live.key');
    const put = (issued: typeof site) => {
      copyFileSync(issued.keyFile, keyFile);
      copyFileSync(issued.certFile, certFile);
    };
    put(site);
    const [port] = await launch(
      ([tls]) => `
services: { web: { listen: { address: "127.0.0.1:${tls}", tls: { certificates: [ ${pairOf({ certFile, keyFile })} ] } } } }
`,
    );
    const failures: unknown[] = [];
    // One connection that lasts, and new ones all the time.
    const lasting = connect({
      port: port!,
      host: '127.0.0.1',
      ca: authority.ca,
      servername: 'site.test',
    });
    let answers = 0;
    lasting.on('error', (error) => failures.push(error));
    lasting.on('data', (bytes) => {
      answers += String(bytes).split('HTTP/1.1 200').length - 1;
    });
    let isOn = true;
    const load = (async () => {
      for (let sent = 0; isOn; sent += 1) {
        lasting.write('GET / HTTP/1.1\r\nHost: site.test\r\n\r\n');
        const answer = await curl('site.test', port!, '-k').catch((error) => String(error));
        if (!answer.startsWith('HTTP/1.1 200')) failures.push(answer);
        await expect.poll(() => answers).toBe(sent + 1);
      }
    })();
    copyFileSync(other.certFile, certFile);
    await upriver!.waitForLog(({ msg }) => msg.includes('does not belong'), 'the mismatch');
    expect(await metric('upriver_tls_certificate_valid')).toBe(0);
    expect(await subjectAt(port!, 'site.test')).toContain('CN = site.test');
    put(other);
    await upriver!.waitForLog(({ msg }) => msg === 'certificate replaced', 'the replacement');
    // Each worker has it a moment after it is logged.
    await expect.poll(() => curl('other.test', port!).catch(String)).toContain('200 OK');
    isOn = false;
    await load;
    expect(failures).toEqual([]);
    expect(lasting.destroyed).toBe(false);
    lasting.destroy();
  });

  it('resumes sessions on whichever worker a client comes back to', async () => {
    const [port] = await launch(
      ([tls]) => `
tls: { certificates: [ ${pairOf(site)} ] }
services: { web: { listen: { address: "127.0.0.1:${tls}", tls: true } } }
`,
    );
    const options = { port: port!, host: '127.0.0.1', ca: authority.ca, servername: 'site.test' };
    const session = await new Promise<Buffer>((resolve) => {
      const first = connect(options);
      first.once('session', resolve);
      first.on('session', () => first.end());
      first.resume();
    });
    const COUNT = 12;
    for (let i = 0; i < COUNT; i += 1) {
      await new Promise<void>((resolve, reject) => {
        const next = connect({ ...options, session }, () => {
          expect(next.isSessionReused()).toBe(true);
          next.end();
        });
        next.resume();
        next.on('error', reject);
        next.on('close', () => resolve());
      });
    }
    expect(await metric('upriver_tls_resumed_total')).toBe(COUNT);
  });

  it('knows clients by their certificates', async () => {
    const [port] = await launch(
      ([tls]) => `
services: { web: { listen: { address: "127.0.0.1:${tls}", tls: {
  certificates: [ ${pairOf(site)} ], client_auth: require, client_ca_file: ${authority.caFile} } } } }
`,
    );
    const own = ['--cert', alice.certFile, '--key', alice.keyFile];
    expect(await curl('site.test', port!, ...own)).toContain('200 OK');
    await expect(curl('site.test', port!)).rejects.toThrow(/alert|certificate required/i);
    const name = 'upriver_tls_handshake_failures_total{reason="client-certificate"}';
    // Counted a moment after the alert is sent.
    await expect.poll(() => metric(name)).toBe(1);
  });

  it('terminates for a TCP service as well', async () => {
    const [port] = await launch(
      ([tls]) => `
tls: { certificates: [ ${pairOf(site)} ] }
services: { web: { protocol: tcp, listen: { address: "127.0.0.1:${tls}", tls: true } } }
`,
    );
    expect(await curl('site.test', port!)).toContain('200 OK');
  });
});

describe('a certificate that is wrong', () => {
  const check = async (config: string) => {
    writeFileSync(file('check.yaml'), config);
    const checked = spawnUpriver(['check', '--config', file('check.yaml')], {});
    expect(await checked.exited).toBe(1);
    return checked.output();
  };
  const expired = authority.issue(['site.test'], { days: -1 });
  const withPair = (pair: string, more = '') =>
    `services: { web: { from: { registry: static } } }\nstatic: { web: [ "127.0.0.1:1" ] }\n` +
    `routers: [ { listen: { address: 8443, tls: { certificates: [ ${pair} ] } }, routes: [ { service: web${more} } ] } ]`;

  it('is named by check', async () => {
    const mixed = pairOf({ certFile: site.certFile, keyFile: other.keyFile });
    expect(await check(withPair(mixed))).toContain(
      `${site.certFile}: the key does not belong to the certificate (key: ${other.keyFile})`,
    );
    expect(await check(withPair(pairOf(expired)))).toContain('the certificate has expired');
    expect(await check(withPair('{ dir: /nowhere }'))).toContain('/nowhere: ');
    expect(await check(withPair(pairOf(site), ', host: shop.test'))).toContain(
      'its names (site.test, *.site.test) are those of no route: expected one of shop.test',
    );
  });

  it('keeps a start from serving nobody', async () => {
    const mixed = ['--tls-cert', site.certFile, '--tls-key', other.keyFile];
    const args = ['run', '--static', 'web=127.0.0.1:1', '--service', 'web=8443,tls=true', ...mixed];
    const refused = spawnUpriver(args, {});
    expect(await refused.exited).toBe(2);
    expect(refused.output()).toContain('the key does not belong to the certificate');
  });
});
