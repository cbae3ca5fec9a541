// What lies at a source of certificates now. Nothing is remembered here.
import { opendir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, messageOf } from '../base/coded-error.ts';
import { inTime, readInTime, stampsInTime } from '../base/timely-file.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import type { CertificateSource } from '../model/listener.ts';
import { certificateFileOf } from './acme/place.ts';
import { type Pair, readPair } from './pair.ts';

/** Names that are had at a time. */
const BATCH = 1000;

/** Files of one certificate; the same one twice where it holds both. */
export interface PairFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** It is ordered: that it is not there yet is no fault of the file. */
  readonly isOrdered?: true;
}

/** What was found: a certificate, or why there is none. */
export type Found = PairFiles & ({ readonly pair: Pair } | { readonly problem: string });

/** The pairs of a source, in order. Rejects where a folder can't be read, or holds too many. */
export async function pairsOf(source: CertificateSource): Promise<PairFiles[]> {
  if (source.kind === 'pair') return [source];
  if (source.kind === 'acme') {
    const file = certificateFileOf(source.acme);
    return [{ certFile: file, keyFile: file, isOrdered: true }];
  }
  const { dir } = source;
  const names = await inTime(join(dir, '*'), () => namesIn(dir));
  const pairs = [...names].sort().flatMap((name) => {
    const base = name.replace(/\.(pem|crt)$/, '');
    if (base === name) return [];
    const key = names.has(`${base}.key`) ? `${base}.key` : name;
    return [{ certFile: join(dir, name), keyFile: join(dir, key) }];
  });
  const { max } = BOUNDS.certificates;
  if (pairs.length > max) throw new Error(`${dir} holds more than ${max} certificates`);
  return pairs;
}

/** Names of the folder's files. */
async function namesIn(dir: string): Promise<ReadonlySet<string>> {
  const { max } = BOUNDS.certificateNames;
  const names = new Set<string>();
  let read = 0;
  for await (const { name } of await opendir(dir, { bufferSize: BATCH })) {
    read += 1;
    if (read > max)
      throw new Error(`${dir} holds more than ${formatBound(BOUNDS.certificateNames)} files`);
    if (!name.startsWith('.')) names.add(name);
  }
  return names;
}

/** What people call it by. */
export function placeOf(source: CertificateSource): string {
  if (source.kind === 'acme') return certificateFileOf(source.acme);
  return source.kind === 'pair' ? source.certFile : source.dir;
}

/**
 * What would change with the content, for each of these pairs; the code of the error stands for a file that is not
 * there. Rejects where the disk does not answer.
 */
export async function signaturesOf(pairs: readonly PairFiles[]): Promise<string[]> {
  // Pairs of one folder are most of them, and looked at together.
  const stamps = new Map<string, string>();
  const byFolder = Map.groupBy(
    new Set(pairs.flatMap(({ certFile, keyFile }) => [certFile, keyFile])),
    dirname,
  );
  for (const paths of byFolder.values()) {
    for (const [i, stamp] of (await stampsInTime(paths)).entries()) stamps.set(paths[i]!, stamp);
  }
  return pairs.map(({ certFile, keyFile }) => `${stamps.get(certFile)} ${stamps.get(keyFile)}`);
}

/** Reads a pair. Rejects where the disk does not answer. */
export async function readFiles({ certFile, keyFile }: PairFiles): Promise<Found> {
  try {
    const chain = await readText(certFile);
    const key = keyFile === certFile ? chain : await readText(keyFile);
    return { certFile, keyFile, pair: readPair(chain, key) };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'hanging') throw error;
    const missing = code === 'ENOENT' ? 'there is no such file' : messageOf(error);
    return { certFile, keyFile, problem: missing };
  }
}

/** CA certificates; rejects where the file can't be read, or holds none. */
export async function readAuthorities(path: string): Promise<string> {
  const text = await readText(path);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error('there is no certificate in it: expected PEM');
  }
  return text;
}

async function readText(path: string): Promise<string> {
  return (await readInTime(path, BOUNDS.certificateFile.max)).toString('latin1');
}
