// A network namespace of this test's own, joined to the machine by one link that can be cut: packets
// are then lost without a word, as when a switch fails. Needs root and iproute2.
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import type { Whereabouts } from './endpoint.ts';

const run = promisify(execFile);
const bin = process.env.IP_BIN ?? 'ip';
let made = 0;

export interface Namespace extends Whereabouts {
  /** Runs a program in there, to its end; throws when it fails. */
  run(file: string, args: readonly string[]): Promise<string>;
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Removes it with its link; what runs in there must have ended. */
  remove(): Promise<void>;
}

/** For describe.skipIf(!hasNamespaces); says so loudly where they can't be made. */
export const hasNamespaces = probe();

/** Makes one, with an address for each side from 192.0.2.0/24 (TEST-NET-1, RFC 5737). */
export async function makeNamespace(): Promise<Namespace> {
  made += 1;
  const name = `upriver-${process.pid}-${made}`;
  // Interface names have 15 characters at most.
  const outer = `uv${process.pid}o${made}`;
  const inner = `uv${process.pid}i${made}`;
  const network = (made * 4) % 252;
  const addressOf = (host: number): string => `192.0.2.${network + host}`;
  const ip = (...args: readonly string[]) => run(bin, args);
  const inside = (...args: readonly string[]) => ip('-n', name, ...args);
  await ip('netns', 'add', name);
  try {
    await ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', name);
    await ip('addr', 'add', `${addressOf(1)}/30`, 'dev', outer);
    await ip('link', 'set', outer, 'up');
    await inside('addr', 'add', `${addressOf(2)}/30`, 'dev', inner);
    await inside('link', 'set', inner, 'up');
    await inside('link', 'set', 'lo', 'up');
  } catch (error) {
    await ip('netns', 'delete', name);
    throw error;
  }
  const within = [bin, 'netns', 'exec', name];
  return {
    address: addressOf(2),
    within,
    run: async (file, args) => (await run(bin, [...within.slice(1), file, ...args])).stdout,
    cut: async () => void (await inside('link', 'set', inner, 'down')),
    mend: async () => void (await inside('link', 'set', inner, 'up')),
    // The link goes with it.
    remove: async () => void (await ip('netns', 'delete', name)),
  };
}

function probe(): boolean {
  const name = `upriver-${process.pid}-probe`;
  try {
    execFileSync(bin, ['netns', 'add', name], { stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync(bin, ['netns', 'delete', name]);
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.error(`\n*** Network namespaces can't be made; their tests are SKIPPED ***\n${why}\n`);
    return false;
  }
}
