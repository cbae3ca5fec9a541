// What a connection to a registry or an engine has of TLS: the files are read each time, so that those
// that were replaced count from the next connection on.
import { CodedError, messageOf } from '../base/coded-error.ts';
import { readRegularFile } from '../base/regular-file.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { TlsSettings } from '../model/registries/tls.ts';

/** Options of `tls.connect`. Throws CodedError `tls-file` with the path where a file can't be read. */
export function tlsOptions({ caFile, certFile, keyFile, serverName, verify }: TlsSettings) {
  return {
    rejectUnauthorized: verify,
    ...(caFile === '' ? {} : { ca: read(caFile) }),
    ...(certFile === '' ? {} : { cert: read(certFile) }),
    ...(keyFile === '' ? {} : { key: read(keyFile) }),
    ...(serverName === '' ? {} : { servername: serverName }),
  };
}

function read(file: string): Buffer {
  try {
    return readRegularFile(file, BOUNDS.tlsFile.max);
  } catch (error) {
    throw new CodedError('tls-file', `${file}: ${messageOf(error)}`);
  }
}
