// What Upriver replaces, command by command: each row of the table in docs/replaces.md is run as it stands
// there, within the walk-through of its article, on a real engine with the image of the Dockerfile. And
// that image itself. All share one engine and one build of the image.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { configured } from '../suites/articles/configured.ts';
import { drCon, registrator } from '../suites/articles/consul.ts';
import { dockerDiscover, dockerRegister } from '../suites/articles/etcd.ts';
import { describeImage } from '../suites/articles/image.ts';
import { nginxProxy } from '../suites/articles/nginx-proxy.ts';
import { isCommand, rowsOf, type Walk, wishesOf } from '../suites/articles/walk.ts';
import { synapse } from '../suites/articles/zookeeper.ts';
import { type ArticleStage, startArticleStage } from '../support/article-stage.ts';
import { hasConsul } from '../support/consul.ts';
import { hasEngine } from '../support/engine.ts';
import { etcd34 } from '../support/etcd.ts';
import { zookeeper } from '../support/zookeeper.ts';

const canRun = hasEngine && hasConsul && etcd34 !== '' && zookeeper !== null;
const rows = rowsOf(readFileSync(join(import.meta.dirname, '../../docs/replaces.md'), 'utf8'));
/** By the first cell of its row. */
const walks: Readonly<Record<string, Walk>> = {
  'DR CoN: consul-template and nginx': drCon,
  'docker-discover: etcd and HAProxy': dockerDiscover,
  'Registrator, as DR CoN starts it': registrator,
  "Registrator, on the host's network": registrator,
  'docker-register': dockerRegister,
  'nginx-proxy: docker-gen and nginx': nginxProxy,
  'Synapse (SmartStack): ZooKeeper and HAProxy': synapse,
};

let stage: ArticleStage;
beforeAll(async () => {
  if (canRun) stage = await startArticleStage();
}, 480_000);
afterEach(() => stage?.engine.removeAll());
afterAll(() => stage?.stop());

const commands = rows.filter(isCommand);

it('every command of the table has a walk-through, and every walk-through a command', () => {
  expect(commands.map(({ setUp }) => setUp).sort()).toEqual(Object.keys(walks).sort());
});

const containers = commands.filter(({ command }) => command.startsWith('docker run '));

it.each(containers)(
  '$setUp: what is set, published and mounted is the same',
  ({ command, instead }) => {
    expect(wishesOf(command)).not.toEqual([]);
    expect(wishesOf(instead)).toEqual(expect.arrayContaining(wishesOf(command)));
  },
);

describe.skipIf(!canRun)('in the place of', () => {
  it.each(rows)('$setUp', async (row) => {
    const insteadOf = (setUp: string): string => {
      const found = rows.find((one) => one.setUp === setUp);
      if (found === undefined) throw new Error(`no row of the table replaces ${setUp}`);
      return found.instead;
    };
    const walk = walks[row.setUp] ?? configured;
    await walk({ stage, row, insteadOf });
  });
});

describe.skipIf(!canRun)('as it is run', () => describeImage(() => stage));
