// How a CA convinces itself that a name is somebody's: by HTTP-01 (RFC 8555 section 8.3) and by
// TLS-ALPN-01 (RFC 8737). Names are all at 127.0.0.1 here, at ports of the test.
import { createHash, type X509Certificate } from 'node:crypto';
import { request } from 'node:http';
import { type ConnectionOptions, connect } from 'node:tls';

export interface Validation {
  readonly domain: string;
  readonly token: string;
  /** The key authorization. */
  readonly expected: string;
  readonly port: number;
}

/** id-pe-acmeIdentifier, critical, around an OCTET STRING of 32 bytes. */
const ACME_IDENTIFIER = Buffer.from('06082b060105050701' + '1f0101ff04220420', 'hex');
const MS_MAX = 5000;

/** '' where it is convinced, or why not. */
export function validateHttp({ domain, token, expected, port }: Validation): Promise<string> {
  return new Promise((resolve) => {
    const path = `/.well-known/acme-challenge/${token}`;
    const options = { host: '127.0.0.1', port, path, headers: { host: domain }, timeout: MS_MAX };
    const asked = request(options, (response) => {
      let text = '';
      response.on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => {
        const { statusCode } = response;
        if (statusCode !== 200) return resolve(`status ${statusCode} from http://${domain}${path}`);
        resolve(text.trimEnd() === expected ? '' : `the file holds ${JSON.stringify(text)}`);
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.on('error', (error) => resolve(error.message));
    asked.end();
  });
}

/** The same by a handshake, of this version. */
export function validateTls(
  { domain, expected, port }: Validation,
  version: NonNullable<ConnectionOptions['maxVersion']>,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({
      ...{ host: '127.0.0.1', port, servername: domain, rejectUnauthorized: false },
      ...{ ALPNProtocols: ['acme-tls/1'], minVersion: version, maxVersion: version },
    });
    socket.setTimeout(MS_MAX, () => socket.destroy(new Error('timeout')));
    socket.on('error', (error) => resolve(error.message));
    socket.on('secureConnect', () => {
      const { alpnProtocol } = socket;
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (alpnProtocol !== 'acme-tls/1') return resolve(`the protocol is ${alpnProtocol}`);
      resolve(certificate === undefined ? 'no certificate' : problemOf(certificate));
    });
    const problemOf = ({ raw, subjectAltName }: X509Certificate): string => {
      if (subjectAltName !== `DNS:${domain}`) return `the certificate is for ${subjectAltName}`;
      const at = raw.indexOf(ACME_IDENTIFIER);
      if (at < 0) return 'the certificate has no acmeIdentifier';
      const from = at + ACME_IDENTIFIER.length;
      const digest = createHash('sha256').update(expected).digest();
      return raw.subarray(from, from + 32).equals(digest) ? '' : 'the acmeIdentifier is wrong';
    };
  });
}
