// What listeners with TLS, and those beside them, can get wrong: certificates that are missing, keys
// that mean nothing there.
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { Protocol } from '../model/service.ts';
import { acmeContradictions } from './acme-consistency.ts';
import type { Contradiction } from './consistency.ts';
import { type Claim, claimsOf, type Draft } from './draft.ts';
import {
  type CertificateInput,
  certificatesOf,
  type ListenInput,
  type TlsInput,
} from './schema/listen.ts';
import { upstreamSchema } from './schema/upstream.ts';

/** Every contradiction in what listeners, upstreams and the stats port say about TLS. */
export function* tlsContradictions(draft: Draft): Generator<Contradiction, void> {
  const { tls: shared } = draft;
  for (const [i, one] of (shared?.certificates ?? []).entries()) {
    const message = certificateProblem(one);
    if (message !== '') yield { path: ['tls', 'certificates', i], message };
  }
  yield* acmeContradictions(draft);
  if (shared !== undefined) yield* authorityProblem(shared, ['tls']);
  for (const { name, tree } of draft.services.values()) {
    for (const [key, message] of upstreamProblems(tree.upstream)) {
      yield { path: ['services', name, 'upstream', ...key], message };
    }
  }
  const { stats } = draft;
  for (const message of stats ? terminationProblems(stats.tls, shared) : []) {
    const path = ['stats', 'listen'];
    yield { path, message: `${formatListen(stats!.address)}: ${message}` };
  }
  for (const claim of claimsOf(draft)) {
    for (const message of listenProblems(claim, draft)) {
      yield { path: claim.path, message: `${formatListen(claim.address)}: ${message}` };
    }
  }
}

/** What a service says of its endpoints that does not fit together. */
function upstreamProblems(value: unknown): [readonly string[], string][] {
  const read = upstreamSchema.safeParse(value ?? {});
  if (!read.success) return [];
  const { protocol, tls } = read.data;
  const found: [readonly string[], string][] = [];
  if (protocol === 'h2' && !tls.enabled) {
    found.push([['protocol'], 'h2 needs tls: expected tls: { enabled: true }, or h2c for none']);
  }
  if (protocol === 'h2c' && tls.enabled)
    found.push([['protocol'], 'h2c is without TLS: expected h2']);
  if ((tls.cert_file === '') !== (tls.key_file === '')) {
    found.push([['tls'], 'expected cert_file and key_file, or neither']);
  }
  return found;
}

function certificateProblem({ cert_file, key_file, dir, acme }: CertificateInput): string {
  if (acme !== undefined) {
    return cert_file + key_file + dir === '' ? '' : 'acme goes without cert_file, key_file and dir';
  }
  const isPair = cert_file !== '' && key_file !== '';
  const isFolder = dir !== '' && cert_file === '' && key_file === '';
  return (isPair && dir === '') || isFolder
    ? ''
    : 'expected cert_file and key_file, or dir alone, or acme';
}

function authorityProblem(tls: TlsInput, path: readonly PropertyKey[]): Contradiction[] {
  const isAsked = (tls.client_auth ?? 'off') !== 'off';
  if (!isAsked || (tls.client_ca_file ?? '') !== '') return [];
  const message = 'is missing: client_auth needs the CA whose certificates are accepted';
  return [{ path: [...path, 'client_ca_file'], message }];
}

/** Connections that are passed on are routed by a router, all of whose listeners do so. */
function passProblems({ listen, owner }: Pick<Claim, 'listen' | 'owner'>, draft: Draft): string[] {
  const router = draft.routers.find((one) => one.listen?.includes(listen) === true);
  if (listen.tls !== 'pass') {
    const isMixed = router?.listen?.some(({ tls }) => tls === 'pass') === true;
    return isMixed ? ['its router passes TLS on at another address: expected one of its own'] : [];
  }
  if (owner.startsWith('service ')) {
    return ['tls: pass is for routers, whose routes have sni: expected routers.N.listen'];
  }
  return listen.http2 ? ['http2 is nothing that tls: pass offers'] : [];
}

/** What is missing from TLS of a listener, or of the stats port. */
function terminationProblems(tls: ListenInput['tls'], shared: TlsInput = {}): string[] {
  if (tls === false || tls === 'pass') return [];
  const own = tls === true ? {} : tls;
  const found: string[] = [];
  if (certificatesOf(own, shared).length === 0) {
    found.push('tls needs a certificate: expected tls.certificates, or --tls-cert and --tls-key');
  }
  for (const one of own.certificates ?? []) {
    const problem = certificateProblem(one);
    if (problem !== '') found.push(`tls.certificates: ${problem}`);
  }
  const merged = { ...shared, ...own };
  if (authorityProblem(merged, []).length > 0 && authorityProblem(shared, []).length === 0) {
    found.push('tls.client_auth needs tls.client_ca_file');
  }
  return found;
}

function listenProblems({ listen, owner, address }: Claim, draft: Draft): string[] {
  const { tls, hsts, redirect_https: isRedirect } = listen;
  const protocol = protocolOf(owner, draft);
  if (protocol === 'udp') return datagramProblems(listen, address);
  const found = [...passProblems({ listen, owner }, draft), ...terminationProblems(tls, draft.tls)];
  if (isRedirect && tls !== false) found.push('redirect_https is for a listener without tls');
  if (hsts !== null && tls === false) found.push('hsts is for a listener with tls');
  if (protocol === 'tcp' && (isRedirect || hsts !== null)) {
    found.push(
      `${isRedirect ? 'redirect_https' : 'hsts'} is about HTTP, and this is a tcp service`,
    );
  }
  return found;
}

function protocolOf(owner: string, draft: Draft): Protocol | undefined {
  const name = /^service (.*)$/s.exec(owner)?.[1];
  return name === undefined ? undefined : draft.services.get(name)?.protocol;
}

/** Datagrams come to a port, and as they are. */
function datagramProblems(listen: ListenInput, address: ListenAddress): string[] {
  const { accept_proxy: networks, hsts, http2, redirect_https: isRedirect, tls } = listen;
  const set = Object.entries({ tls, http2, redirect_https: isRedirect, hsts: hsts !== null });
  const found = set
    .filter(([, value]) => value !== false)
    .map(([key]) => `${key} is about connections, and this is a udp service`);
  if (networks.length > 0)
    found.push('accept_proxy is about connections, and this is a udp service');
  if (address.kind === 'unix') found.push('expected a port or address:port: this is a udp service');
  return found;
}
