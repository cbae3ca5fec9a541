// A real Upriver with a marked secret in every place where one can be. No mark may be in anything that
// it says: log, access log, pages, API, metrics, streams, commands, state file.
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createEmbeddedRegistry } from '../../src/dev/embedded-registry.ts';
import { RegistryClient } from '../suites/consul-api/client.ts';
import { AcmeServer } from '../support/acme-server.ts';
import { Authority, type Issued } from '../support/certificates.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { outputOf, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** In every secret, so that any of them is found. */
const MARK = /s3cr3t-[a-z-]+/;

const ENVIRONMENT = {
  UPSTREAM_TOKEN: 's3cr3t-variable',
  CONSUL_PASSWORD: 's3cr3t-url-password',
  UPRIVER_READ_TOKEN: 's3cr3t-read',
  UPRIVER_ADMIN_TOKEN: 's3cr3t-admin',
};

interface Setup {
  readonly folder: string;
  readonly config: string;
  readonly port: number;
  readonly agent: string;
  /** What the agent was sent to prove who asks. */
  readonly credentials: Set<string>;
}

/** A registry behind a server that notes the credentials, an endpoint, files with secrets. */
async function setUp(): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-secrets-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const registry = createEmbeddedRegistry({ clock: systemClock, random: () => 0.5 });
  const { url } = await registry.listen('127.0.0.1', 0);
  endings.push(() => registry.close());
  const credentials = new Set<string>();
  const front = createServer((request, response) => {
    credentials.add(String(request.headers.authorization));
    credentials.add(String(request.headers['x-consul-token']));
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    fetch(url + request.url, { signal: gone.signal })
      .then(async (answer) => {
        response.writeHead(answer.status, {
          'x-consul-index': answer.headers.get('x-consul-index') ?? '0',
        });
        response.end(await answer.text());
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    front.closeAllConnections();
    front.close();
  });
  const endpoint = await startEndpoint('one');
  endings.push(() => endpoint.kill());
  const client = new RegistryClient(() => ({ url }));
  await client.put('/v1/agent/service/register', {
    ...{ Name: 'web', ID: 'one', Address: '127.0.0.1', Port: endpoint.port },
  });
  const overlay = {
    services: { web: { http: { request_headers: { 'X-Api-Key': 's3cr3t-kv' } } } },
  };
  await client.put('/v1/kv/upriver/config', overlay);
  const [port = 0] = await freePorts(1);
  writeFileSync(join(folder, 'token'), 's3cr3t-token-file\n');
  writeFileSync(join(folder, 'key.pem'), 's3cr3t-key\n');
  const agent = `127.0.0.1:${(front.address() as AddressInfo).port}`;
  return { folder, config: join(folder, 'upriver.yaml'), port, agent, credentials };
}

function write({ folder, config, port, agent }: Setup, path: string, consul: string): void {
  writeFileSync(
    config,
    `registries:
  consul:
    address: ["http://s3cr3t-user:\${CONSUL_PASSWORD}@${agent}", "https://s3cr3t-second:x@127.0.0.1:1"]
    tls: { key_file: ${folder}/key.pem, cert_file: ${folder}/key.pem }
    ${consul}
services:
  web:
    listen: "127.0.0.1:${port}"
    health: { path: "${path}" }
    http: { request_headers: { Authorization: "Bearer \${UPSTREAM_TOKEN}" } }
stats: { read: token }
state: { file: ${folder}/state }
log: { level: debug, access: stdout }
`,
  );
}

/** Everything that the stats port says to those who may read, and to those who may not. */
async function pages(upriver: UpriverProcess): Promise<Map<string, string>> {
  const said = new Map<string, string>();
  const paths = [
    ...['/stats', '/stats;csv', '/metrics', '/healthz', '/readyz', '/nothing'],
    ...['/api/v1/status', '/api/v1/services', '/api/v1/services/web'],
    ...['/api/v1/events?format=json', '/api/v1/events', '/stats/live'],
  ];
  for (const path of paths) {
    for (const token of ['s3cr3t-read', 'wrong']) {
      const response = await fetch(upriver.statsUrl + path, {
        headers: { authorization: `Bearer ${token}`, 'last-event-id': '0' },
      });
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
      const reader = response.body!.getReader();
      const text = isStream
        ? new TextDecoder().decode((await reader.read()).value)
        : await readAll(reader);
      await reader.cancel();
      said.set(`${path} ${token}`, JSON.stringify([...response.headers]) + text);
    }
  }
  return said;
}

async function readAll(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
}

it.each([
  ['a token', 'token: s3cr3t-token', 's3cr3t-token', false],
  ["a token's file", 'token_file: FOLDER/token', 's3cr3t-token-file', true],
])('with %s, no secret is in anything that is said', async (_, consul, token, isPretty) => {
  const setup = await setUp();
  const settings = consul.replace('FOLDER', setup.folder);
  write(setup, '/health', settings);
  const upriver = await startUpriver({
    args: ['--config', setup.config, '--log-format', isPretty ? 'pretty' : 'json'],
    env: ENVIRONMENT,
  });
  endings.push(() => upriver.stop());
  const ask = () => fetch(`http://127.0.0.1:${setup.port}/x?token=shown-by-wish`);
  await expect.poll(async () => (await ask()).status).toBe(200);
  // What is secret is used: only then it means something that it is not shown.
  const basic = Buffer.from('s3cr3t-user:s3cr3t-url-password').toString('base64');
  expect(setup.credentials).toContain(`Basic ${basic}`);
  expect(setup.credentials).toContain(token);

  const said = await pages(upriver);
  // The value of a variable, where it can't stand: the whole of it would be in the problem.
  write(setup, '$'.concat('{UPSTREAM_TOKEN}'), settings);
  upriver.signal('SIGHUP');
  await expect.poll(() => upriver.output()).toContain('configuration refused');
  for (const [path, text] of await pages(upriver)) said.set(`${path}, refused`, text);
  const { statsUrl } = upriver;
  for (const command of [['status'], ['explain', 'web'], ['drain', 'web', 'none']]) {
    said.set(command.join(' '), await outputOf([...command, '--stats', statsUrl], ENVIRONMENT));
  }
  said.set('check', await outputOf(['check', '--config', setup.config], ENVIRONMENT));
  write(setup, '/health', settings);
  said.set(
    'check --print',
    await outputOf(['check', '--print', '--config', setup.config], ENVIRONMENT),
  );
  upriver.signal('SIGTERM');
  expect(await upriver.exited).toBe(0);
  said.set('output', upriver.output());
  said.set('state', readFileSync(join(setup.folder, 'state'), 'utf8'));

  expect(said.get('status')).toContain('web');
  expect(said.get('check')).toContain('expected a text that starts with /');
  expect(said.get('check --print')).toContain('***');
  expect(said.get('/api/v1/status s3cr3t-read')).toContain(setup.agent);
  expect(said.get('/api/v1/services s3cr3t-read')).toContain('"web"');
  for (const [where, text] of said)
    expect(MARK.exec(text)?.[0], `${where}: ${text}`).toBeUndefined();
});

/** An agent of nothing: it notes what it was sent, and refuses it. */
async function refusing(): Promise<{ readonly at: string; readonly heard: () => string }> {
  let heard = '';
  const server = createServer((request, response) => {
    heard += `${request.url} ${request.headers.authorization} `;
    request.on('data', (piece) => {
      heard += String(piece);
    });
    request.on('end', () => response.writeHead(500).end('{"error":"no"}'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { at: `127.0.0.1:${(server.address() as AddressInfo).port}`, heard: () => heard };
}

it('no secret of another registry, of a check or of TLS is in anything that is said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-secrets-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const { at, heard } = await refusing();
  const endpoint = await startEndpoint('one');
  endings.push(() => endpoint.kill());
  const config = join(folder, 'upriver.yaml');
  const [port = 0] = await freePorts(1);
  writeFileSync(join(folder, 'password'), 's3cr3t-zk-file\n');
  const text = (more: string) => `registries:
  etcd: { address: "http://s3cr3t-etcd-user:s3cr3t-etcd-url@${at}", username: root, password: s3cr3t-etcd }
  http:
    url: ["http://${at}/sd?env=prod&token=s3cr3t-query", "http://${at}/sd?env=prod&token=s3cr3t-other"]
    token: s3cr3t-bearer
  zookeeper: { address: ["${at}"], username: u, password_file: ${folder}/password }
static: { web: ["127.0.0.1:${endpoint.port}"], cache: ["127.0.0.1:${endpoint.port}"] }
services:
  web: { listen: "127.0.0.1:${port}", from: { registry: http } }
  keys: { from: { registry: etcd } }
  nodes: { from: { registry: zookeeper } }
  cache:
    from: { registry: static }
    protocol: tcp
    health: { type: redis, user: me, password: s3cr3t-check }
    ${more}
stats: { admin_token: s3cr3t-admin, read_token: s3cr3t-read, read: token }
log: { level: debug, access: stdout }
`;
  writeFileSync(config, text(''));
  const upriver = await startUpriver({ args: ['--config', config], env: {}, isReady: false });
  endings.push(() => upriver.stop());
  // What is secret is used.
  const etcd = Buffer.from('root:s3cr3t-etcd').toString('base64');
  for (const sent of ['s3cr3t-query', 's3cr3t-other', 'Bearer s3cr3t-bearer', etcd]) {
    await expect.poll(heard).toContain(sent);
  }
  await upriver.waitForLog((line) => String(line.what).includes('/sd?env=prod'), 'a URL fails');
  await upriver.waitForLog((line) => line.registry === 'etcd', 'etcd fails');
  const said = await pages(upriver);
  for (const command of [['status'], ['explain', 'cache']]) {
    const env = { UPRIVER_READ_TOKEN: 's3cr3t-read' };
    said.set(command.join(' '), await outputOf([...command, '--stats', upriver.statsUrl], env));
  }
  said.set('check --print', await outputOf(['check', '--print', '--config', config], {}));
  writeFileSync(config, text('nonsense: true'));
  said.set('check', await outputOf(['check', '--config', config], {}));
  const host = { DOCKER_HOST: 'tcp://s3cr3t-docker:s3cr3t-docker@127.0.0.1:1' };
  said.set('docker', await outputOf(['check', '--docker'], host));
  const uri = 'consul://s3cr3t-user:s3cr3t-pass@127.0.0.1:1?token=s3cr3t-x';
  const engine = ['--docker', 'tcp://s3cr3t-user@127.0.0.1:1'];
  said.set('register', await outputOf(['register', uri, ...engine], {}));
  said.set('register, refused', await outputOf(['register', uri, '--retry-interval', '10'], {}));
  upriver.signal('SIGTERM');
  await upriver.exited;
  said.set('output', upriver.output());
  expect(said.get('/api/v1/status s3cr3t-read')).toContain('/sd?env=prod&token=***');
  expect(said.get('check')).toContain('nonsense');
  expect(said.get('docker')).not.toBe('');
  expect(said.get('register')).toContain('tcp://***@127.0.0.1:1');
  expect(said.get('register, refused')).toContain('://***@127.0.0.1:1');
  for (const [where, what] of said)
    expect(MARK.exec(what)?.[0], `${where}: ${what}`).toBeUndefined();
});

/** Texts by which a key would be known wherever it stood, whole or in part: lines of its PEM, fields of its JWK. */
function marksOf(key: string): string[] {
  const lines = key.split('\n').filter((line) => /^[A-Za-z0-9+/=]{16,}$/.test(line));
  const jwk = createPrivateKey(key).export({ format: 'jwk' });
  return [...lines, ...[jwk.d ?? []].flat()].flatMap((text) => [text, text.slice(0, 24)]);
}

function isOpen(port: number): Promise<boolean> {
  const socket = connectTcp(port, '127.0.0.1');
  return once(socket, 'connect').then(
    () => {
      socket.destroy();
      return true;
    },
    () => false,
  );
}

it('no byte of a private key is in anything that is said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-secrets-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const authority = new Authority();
  endings.push(() => authority.remove());
  const at = (name: string) => join(folder, name);
  const issued = authority.issue(['site.test']);
  const [inFolder, client, registry] = [['dir.test'], ['client'], ['registry']].map((names) =>
    authority.issue(names),
  ) as [Issued, Issued, Issued];
  mkdirSync(at('certs'));
  writeFileSync(at('certs/both.pem'), inFolder.cert + inFolder.key);
  // Each broken in another way, with a key in it.
  const broken = { body: issued.key.replace(/.(?=\n-----END)/, '!'), alone: client.key };
  writeFileSync(at('certs/broken.pem'), inFolder.cert + broken.body);
  writeFileSync(at('certs/alone.pem'), broken.alone);
  writeFileSync(at('eab'), 's3cr3t-eab\n');
  writeFileSync(at('redis'), 's3cr3t-redis-file\n');
  writeFileSync(at('http'), 's3cr3t-http-file\n');
  writeFileSync(at('etcd'), 's3cr3t-etcd-file\n');
  const endpoint = await startEndpoint('one');
  endings.push(() => endpoint.kill());
  const ca = await AcmeServer.start();
  endings.push(() => ca.close());
  const [web = 0, tcp = 0] = await freePorts(2);
  const config = at('upriver.yaml');
  const text = (keyFile: string, more = '') => `registries:
  consul: { address: "https://127.0.0.1:1", tls: { cert_file: ${registry.certFile}, key_file: ${registry.keyFile} }, self_described: false, kv_key: "" }
  http: { url: "http://127.0.0.1:1/sd", token_file: ${at('http')} }
  etcd: { address: "https://127.0.0.1:1", username: u, password_file: ${at('etcd')}, tls: { cert_file: ${registry.certFile}, key_file: ${registry.keyFile} } }
static: { web: ["127.0.0.1:${endpoint.port}"], cache: ["127.0.0.1:${endpoint.port}"] }
tls:
  certificates:
    - { cert_file: ${issued.certFile}, key_file: ${keyFile} }
    - acme: { directory: "${ca.directory}", domains: [ordered.test], dir: ${at('acme')}, eab: { key_id: k, key_file: ${at('eab')} } }
services:
  web:
    listen: [{ address: "127.0.0.1:${web}", tls: true }]
    upstream: { tls: { cert_file: ${client.certFile}, key_file: ${client.keyFile}, verify: false } }
    ${more}
  keys: { from: { registry: etcd } }
  listed: { from: { registry: http } }
  asked: { from: { registry: consul } }
  cache: { protocol: tcp, listen: "127.0.0.1:${tcp}", health: { type: redis, password_file: ${at('redis')} } }
stats: { read: token, read_token: s3cr3t-read }
state: { file: ${at('state')} }
log: { level: debug, access: ${at('access')} }
`;
  writeFileSync(config, text(issued.keyFile));
  const upriver = await startUpriver({ args: ['--config', config], isReady: false });
  endings.push(() => upriver.stop());
  await upriver.waitForLog(({ msg }) => msg.includes('no certificate for ordered.test'), 'ACME');
  // No registry answers: that is waited for, but not for long.
  await upriver.waitForLog(({ msg }) => msg.includes('listeners open without it'), 'listeners');
  await expect.poll(() => isOpen(web)).toBe(true);
  // The certificate is used.
  const socket = connect({
    port: web,
    host: '127.0.0.1',
    servername: 'site.test',
    ca: authority.ca,
  });
  await once(socket, 'secureConnect');
  socket.end('GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n').resume();
  await once(socket, 'close');
  const said = await pages(upriver);
  const environment = { UPRIVER_READ_TOKEN: 's3cr3t-read' };
  for (const command of [['status'], ['explain', 'cache']]) {
    const given = [...command, '--stats', upriver.statsUrl];
    said.set(command.join(' '), await outputOf(given, environment));
  }
  // Bad reloads: another's key, a key in the place of a certificate, a key that is broken, one that no field takes.
  writeFileSync(at('broken.key'), broken.body);
  const inline = JSON.stringify(issued.key);
  const reloads: readonly (readonly [why: string, text: string])[] = [
    ['does not belong', text(client.keyFile)],
    ['no certificate in it', text(issued.keyFile).replace(issued.certFile, issued.keyFile)],
    ["the key can't be read", text(at('broken.key'))],
    ['services.web.nonsense', text(issued.keyFile, 'nonsense: true')],
    ['services.web.balance: ', text(issued.keyFile, `balance: ${inline}`)],
    ['unknown key; known are listen', text(issued.keyFile, `${inline}: 1`)],
    ['Implicit keys need', text(issued.keyFile, `balance: ${issued.key}`)],
    ['not its content', text(inline)],
    [
      'broken.pem',
      text(issued.keyFile).replace('- { cert_file', `- { dir: ${at('certs')} }\n    - { cert_file`),
    ],
  ];
  for (const [why, reload] of reloads) {
    const before = upriver.output().length;
    writeFileSync(config, reload);
    upriver.signal('SIGHUP');
    // What is new, and says what this reload alone has wrong: the file is not written again before.
    await expect.poll(() => upriver.output().slice(before)).toContain(why);
  }
  // `check` says the same of the last one, and of one that is good.
  said.set('check', await outputOf(['check', '--config', config]));
  expect(said.get('check')).toContain('broken.pem');
  writeFileSync(config, text(issued.keyFile));
  said.set('check --print', await outputOf(['check', '--print', '--config', config]));
  for (const [path, page] of await pages(upriver)) said.set(`${path}, refused`, page);
  upriver.signal('SIGTERM');
  await upriver.exited;
  said.set('output', upriver.output());
  for (const file of ['access', 'state']) {
    if (existsSync(at(file))) said.set(file, readFileSync(at(file), 'utf8'));
  }
  const account = readdirSync(at('acme'), { recursive: true, encoding: 'utf8' }).find((name) =>
    name.endsWith('account.json'),
  )!;
  const { key } = JSON.parse(readFileSync(join(at('acme'), account), 'utf8')) as { key: string };
  const keys = [issued.key, inFolder.key, client.key, registry.key, key];
  const marks = keys.flatMap(marksOf);
  expect(marks.length).toBeGreaterThan(20);
  for (const [where, what] of said) {
    expect(MARK.exec(what)?.[0], `${where}: ${what}`).toBeUndefined();
    const found = marks.filter((mark) => what.includes(mark));
    expect(found, `${where}: ${what}`).toEqual([]);
    expect(what, where).not.toContain('PRIVATE KEY-----');
  }
});

it('a token that no field can carry is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-secrets-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const config = join(folder, 'upriver.yaml');
  for (const key of ['admin_token', 'read_token']) {
    for (const value of ['s3cr3t-a b', 's3cr3t-a\\tb', ' s3cr3t-a', 's3cr3t-ä', 's3cr3t-a\\n']) {
      writeFileSync(config, `stats: { ${key}: "${value}" }\n`);
      const said = await outputOf(['check', '--config', config], {});
      expect(said).toContain(`stats.${key}`);
      expect(said).toContain('without white space');
      expect(said).not.toMatch(MARK);
    }
  }
});

it('SIGUSR1 opens no inspector', async () => {
  const upriver = await startUpriver({ args: ['--static', 'web=127.0.0.1:1'] });
  endings.push(() => upriver.stop());
  upriver.signal('SIGUSR1');
  // The signal has been dealt with once the one after it has.
  upriver.signal('SIGHUP');
  for (let i = 0; i < 20; i += 1) {
    expect((await fetch(`${upriver.statsUrl}/healthz`)).status).toBe(200);
  }
  expect(upriver.output()).not.toContain('Debugger');
});
