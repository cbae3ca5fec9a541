// What lies at a source of certificates now. Nothing is remembered here.
import { opendirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf } from '../base/coded-error.ts';
import { readRegularFile } from '../base/regular-file.ts';
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

/** The pairs of a source, in order. Throws where a folder can't be read, or holds too many. */
export function pairsOf(source: CertificateSource): PairFiles[] {
  if (source.kind === 'pair') return [source];
  if (source.kind === 'acme') {
    const file = certificateFileOf(source.acme);
    return [{ certFile: file, keyFile: file, isOrdered: true }];
  }
  const { dir } = source;
  const names = namesIn(dir);
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

/** Names of the folder's files; it is looked at every second, and by the thread that serves the stats port. */
function namesIn(dir: string): ReadonlySet<string> {
  const { max } = BOUNDS.certificateNames;
  const names = new Set<string>();
  const folder = opendirSync(dir, { bufferSize: BATCH });
  try {
    let read = 0;
    for (let one = folder.readSync(); one !== null; one = folder.readSync()) {
      read += 1;
      if (read > max)
        throw new Error(`${dir} holds more than ${formatBound(BOUNDS.certificateNames)} files`);
      if (!one.name.startsWith('.')) names.add(one.name);
    }
  } finally {
    folder.closeSync();
  }
  return names;
}

/** What people call it by. */
export function placeOf(source: CertificateSource): string {
  if (source.kind === 'acme') return certificateFileOf(source.acme);
  return source.kind === 'pair' ? source.certFile : source.dir;
}

/** What would change with the content; '' where there is no such file. */
export function signatureOf({ certFile, keyFile }: PairFiles): string {
  return [certFile, keyFile].map(stampOf).join(' ');
}

function stampOf(path: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(path);
    return [ino, size, mtimeMs, ctimeMs].join(':');
  } catch (error) {
    return codeOf(error);
  }
}

export function readFiles({ certFile, keyFile }: PairFiles): Found {
  try {
    const chain = readText(certFile);
    const key = keyFile === certFile ? chain : readText(keyFile);
    return { certFile, keyFile, pair: readPair(chain, key) };
  } catch (error) {
    const code = codeOf(error);
    const missing = code === 'ENOENT' ? 'there is no such file' : messageOf(error);
    return { certFile, keyFile, problem: missing };
  }
}

/** CA certificates; throws where the file can't be read, or holds none. */
export function readAuthorities(path: string): string {
  const text = readText(path);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error('there is no certificate in it: expected PEM');
  }
  return text;
}

function readText(path: string): string {
  return readRegularFile(path, BOUNDS.certificateFile.max).toString('latin1');
}
