// Files with secrets that others may read: by field, path and mode.
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLog } from '../../src/cli/log.ts';
import { exposedFiles, exposedRegisterFiles } from '../../src/config/exposed-files.ts';
import { loadSettings } from '../../src/config/load.ts';
import { readRegister } from '../../src/config/register.ts';
import { registerSchema } from '../../src/config/schema/register.ts';
import { parse } from '../../src/config/validate.ts';
import { nodeDisk } from '../../src/state/disk.ts';

let folder: string;
const umask = process.umask();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-exposed-'));
});
afterEach(() => {
  process.umask(umask);
  rmSync(folder, { recursive: true });
});

function file(name: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, 'secret');
  chmodSync(path, mode);
  return path;
}

const text = () => `registries:
  consul: { token_file: ${folder}/consul, tls: { key_file: ${folder}/consul.key, cert_file: ${folder}/c } }
  etcd: { address: "http://127.0.0.1:1", username: u, password_file: ${folder}/etcd }
  zookeeper: { address: ["127.0.0.1:1"], username: u, password_file: ${folder}/zookeeper }
  http: { url: "http://127.0.0.1:1/", token_file: ${folder}/http }
  docker: { address: "tcp://127.0.0.1:1", tls: { key_file: ${folder}/docker.key, cert_file: ${folder}/c } }
services:
  web:
    listen: 8080
    from: { registry: consul }
    upstream: { tls: { cert_file: ${folder}/c, key_file: ${folder}/upstream.key } }
  cache: { from: { registry: consul }, protocol: tcp, health: { type: redis, password_file: ${folder}/redis } }
`;
const FIELDS: Readonly<Record<string, string>> = {
  consul: 'registries.consul.token_file',
  'consul.key': 'registries.consul.tls.key_file',
  etcd: 'registries.etcd.password_file',
  zookeeper: 'registries.zookeeper.password_file',
  http: 'registries.http.token_file',
  'docker.key': 'registries.docker.tls.key_file',
  'upstream.key': 'services.web.upstream.tls.key_file',
  redis: 'services.cache.health.password_file',
};

function load(env: NodeJS.ProcessEnv = {}) {
  const path = join(folder, 'upriver.yaml');
  const loaded = loadSettings({ flags: {}, env, file: { path, text: text() }, kv: null });
  expect(loaded.problems).toEqual([]);
  return exposedFiles(loaded.tree);
}

describe('a file with a secret', () => {
  it('that every user may read is named with its field, its mode and what was expected', () => {
    for (const name of Object.keys(FIELDS)) file(name, 0o644);
    const found = load().map(({ where, key, message }) => `${key} ${where}: ${message}`);
    const expected = Object.entries(FIELDS).map(([name, field]) => {
      const why = 'every user of this machine may read it (mode 0644): expected 0600 or 0640';
      return `${field} ${folder}/${name}: ${why}`;
    });
    expect(found.sort()).toEqual(expected.sort());
  });

  it('that every user may change is named as well, and one for a group is not', () => {
    for (const name of Object.keys(FIELDS)) file(name, 0o640);
    chmodSync(file('consul', 0o602), 0o602);
    expect(load().map(({ key, message }) => `${key} ${message}`)).toEqual([
      'registries.consul.token_file every user of this machine may change it (mode 0602): expected 0600 or 0640',
    ]);
  });

  it('that a variable names is found, and one that is not there is passed over', () => {
    const path = file('other', 0o604);
    const env = { ...process.env, CONSUL_HTTP_TOKEN_FILE: path };
    const { tree } = loadSettings({ flags: {}, env, file: null, kv: null });
    expect(exposedFiles(tree).map(({ where }) => where)).toEqual([path]);
    expect(load()).toEqual([]);
  });
});

describe.each([0o000, 0o077, 0o002])('whatever the umask is (%i),', (mask) => {
  it('a new access log is for its owner and group, and one that is there keeps its mode', () => {
    process.umask(mask);
    const path = join(folder, 'access.log');
    const log = { level: 'info', format: 'json', access: path } as const;
    openLog({ ...log }).flush();
    expect(statSync(path).mode & 0o777).toBe(0o640);
    chmodSync(path, 0o604);
    openLog({ ...log }).flush();
    expect(statSync(path).mode & 0o777).toBe(0o604);
  });

  it('the state file is for its owner alone', async () => {
    process.umask(mask);
    const path = join(folder, 'state');
    const made = await nodeDisk.create(path);
    await made.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe('a registrar', () => {
  const environment = () => ({
    CONSUL_HTTP_TOKEN_FILE: `${folder}/token`,
    CONSUL_CLIENT_CERT: `${folder}/cert`,
    CONSUL_CLIENT_KEY: `${folder}/key`,
    DOCKER_HOST: 'tcp://127.0.0.1:2376',
    DOCKER_CERT_PATH: folder,
  });

  /** What is said of the files that these variables name. */
  function warnings(to: string): [string, string][] {
    const { output } = parse({ data: { to }, where: String, schema: registerSchema });
    const { settings, problems } = readRegister(output!, '', environment());
    expect(problems).toEqual([]);
    return exposedRegisterFiles(settings!)
      .map(({ key, where }): [string, string] => [key ?? '', where])
      .sort(([one], [other]) => (one < other ? -1 : 1));
  }

  it('names the files of its registry and of its engine', () => {
    for (const name of ['token', 'key', 'key.pem']) file(name, 0o644);
    expect(warnings('consul://127.0.0.1:8500')).toEqual([
      ['docker.tls.keyFile', `${folder}/key.pem`],
      ['registry.tls.keyFile', `${folder}/key`],
      ['registry.tokenFile', `${folder}/token`],
    ]);
  });

  it('says nothing of files of its own', () => {
    for (const name of ['token', 'key', 'key.pem']) file(name, 0o600);
    expect(warnings('consul://127.0.0.1:8500')).toEqual([]);
  });
});
