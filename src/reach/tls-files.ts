// What a connection to a registry or an engine has of TLS: the files are read each time, so that those
// that were replaced count from the next connection on.
import { CodedError, messageOf } from '../base/coded-error.ts';
import { readInTime } from '../base/timely-file.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { TlsSettings } from '../model/registries/tls.ts';

/** Options of `tls.connect`. Rejects with CodedError `tls-file` with the path where a file can't be read. */
export async function tlsOptions({ caFile, certFile, keyFile, serverName, verify }: TlsSettings) {
  return {
    rejectUnauthorized: verify,
    ...(caFile === '' ? {} : { ca: await read(caFile) }),
    ...(certFile === '' ? {} : { cert: await read(certFile) }),
    ...(keyFile === '' ? {} : { key: await read(keyFile) }),
    ...(serverName === '' ? {} : { servername: serverName }),
  };
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readInTime(file, BOUNDS.tlsFile.max);
  } catch (error) {
    throw new CodedError('tls-file', `${file}: ${messageOf(error)}`);
  }
}
