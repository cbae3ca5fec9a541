// Certificates for tests, made by openssl: a CA, and what it issues.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TICKET_KEY_BYTES, type TlsCertificate, type TlsMaterial } from '../../src/model/tls.ts';

/** A certificate with its key, as files and as text. */
export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface IssueOptions {
  /** `openssl x509 -days`; negative: it has expired. */
  readonly days?: number;
  /** It is valid from this many days on from now. */
  readonly fromDays?: number;
  readonly subject?: string;
}

/** What `openssl ca` needs, which alone sets both ends of the validity. */
const CONFIG = `[ca]
default_ca = own
[own]
certificate = ca.pem
private_key = ca.key
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copyall
[any]
organizationName = optional
commonName = optional
`;

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A CA in a folder of its own. */
export class Authority {
  readonly folder: string;
  readonly ca: string;
  readonly caFile: string;
  private count = 0;

  constructor(name = 'test CA') {
    this.folder = mkdtempSync(join(tmpdir(), 'upriver-tls-'));
    this.caFile = join(this.folder, 'ca.pem');
    const files = ['-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30'];
    this.openssl('req', '-x509', ...EC, ...files, '-subj', `/CN=${name}`);
    this.ca = readFileSync(this.caFile, 'latin1');
    writeFileSync(join(this.folder, 'ca.cnf'), CONFIG);
    writeFileSync(join(this.folder, 'index.txt'), '');
  }

  /** A certificate for these names (or addresses), the first of which is its common name. */
  issue(names: readonly string[], options: IssueOptions = {}): Issued {
    this.count += 1;
    const base = `c${this.count}`;
    const [certFile, keyFile] = [`${base}.pem`, `${base}.key`].map((n) => join(this.folder, n));
    const subject = options.subject ?? `/CN=${names[0] ?? 'none'}`;
    const alternatives = names.map((name) =>
      /^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`,
    );
    const extension =
      names.length === 0 ? [] : ['-addext', `subjectAltName=${alternatives.join()}`];
    const request = ['-keyout', keyFile!, '-out', `${base}.csr`, '-subj', subject];
    this.openssl('req', ...EC, ...request, ...extension);
    const { days = 30, fromDays = Math.min(-1, days - 1) } = options;
    this.openssl(
      ...['ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', `${base}.csr`, '-out', certFile!],
      ...['-startdate', asn1Time(fromDays), '-enddate', asn1Time(days)],
    );
    return {
      ...{ certFile: certFile!, keyFile: keyFile! },
      cert: readFileSync(certFile!, 'latin1'),
      key: readFileSync(keyFile!, 'latin1'),
    };
  }

  /** Signs what a request (PEM) asks for, names included; both times in ms since the epoch. */
  sign(request: string, fromMs: number, untilMs: number): string {
    this.count += 1;
    const base = `c${this.count}`;
    writeFileSync(join(this.folder, `${base}.csr`), request);
    // Nobody issues to who can't show the key of the request.
    this.openssl('req', '-verify', '-noout', '-in', `${base}.csr`);
    this.openssl(
      ...['ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', `${base}.csr`],
      ...['-out', `${base}.pem`, '-startdate', asn1(fromMs), '-enddate', asn1(untilMs)],
      ...['-subj', '/'],
    );
    return readFileSync(join(this.folder, `${base}.pem`), 'latin1');
  }

  private openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** So many days from now, as openssl reads it. */
function asn1Time(days: number): string {
  return asn1(Date.now() + days * 86_400_000);
}

function asn1(ms: number): string {
  const time = new Date(ms).toISOString();
  return `${time.replace(/[-:T]|\.\d+Z/g, '')}Z`;
}

export function certificateOf(names: readonly string[], { cert, key }: Issued): TlsCertificate {
  return { names, chain: cert, privateKey: key };
}

/** What a worker gets; `key` is not that of any ListenTls unless it is given. */
export function materialOf(
  certificates: readonly TlsCertificate[],
  parts: Partial<TlsMaterial> = {},
): TlsMaterial {
  return {
    ...{ key: 'test', certificates, minVersion: '1.2', clientAuth: 'off', clientCa: '' },
    ticketKey: new Uint8Array(TICKET_KEY_BYTES).fill(7),
    ...parts,
  };
}
