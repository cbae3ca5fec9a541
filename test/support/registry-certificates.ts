// Certificates for registries with TLS in tests.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** ca.pem, and server and client certificates of it (P-256: quick to make). */
export function makeCertificates(folder: string): void {
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    ...['req', '-x509', ...key, '-days', '3650', '-subj', '/CN=upriver test CA'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', 'ca.key', '-out', 'ca.pem'],
  );
  for (const [name, subject] of [
    ['server', 'server.dc1.consul'],
    ['client', 'client.dc1.consul'],
  ] as const) {
    writeFileSync(
      join(folder, `${name}.ext`),
      `subjectAltName=DNS:localhost,DNS:${subject},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`];
    openssl('req', ...key, '-subj', `/CN=${subject}`, ...files);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-days', '3650', '-out', `${name}.pem`, '-extfile', `${name}.ext`],
    );
  }
}
