// The active checks of endpoints: which endpoint is asked by which check, from which state on.
import type { CheckRun } from '../health/checker.ts';
import type { CheckState } from '../health/rise-fall.ts';
import { takesWork } from '../model/endpoint.ts';
import type { KeptChecks } from '../model/kept.ts';
import type { HealthCheck } from '../model/service.ts';
import { givenHost, givenServerName } from '../model/upstream-host.ts';
import { type EndpointRecord, idOf, type Place, type ServiceRecord } from './service-record.ts';

/** What is asked of the health checks; keys are ours. */
export interface Checks {
  watch(key: string, check: HealthCheck, run: CheckRun): void;
  unwatch(key: string): void;
  state(key: string): CheckState | null;
  hurry(key: string): void;
}

export class EndpointChecks {
  private readonly checks: Checks;
  private readonly byKey = new Map<string, Place>();
  /** What checks had come to before a restart, until they are begun again. */
  private readonly remembered = new Map<string, boolean>();
  /** Those that were down then. */
  private readonly down = new Set<string>();

  constructor(checks: Checks) {
    this.checks = checks;
  }

  /** Whose check has this key, and what it has come to; null where it is nobody's any more. */
  find(key: string): { readonly place: Place; readonly state: CheckState | null } | null {
    const place = this.byKey.get(key);
    return place === undefined ? null : { place, state: this.checks.state(key) };
  }

  /** The last result of the endpoint's active check; null where there is none. */
  stateOf(service: ServiceRecord, id: string): CheckState | null {
    if (healthOf(service, service.endpoints.get(id)) === null) return null;
    return this.checks.state(checkKey(service, id));
  }

  /** Checks that are begun from now on go on from here. */
  remember(checks: readonly KeptChecks[]): void {
    for (const { service, up, down } of checks) {
      for (const id of up) this.remembered.set(keyOf(service, id), true);
      for (const id of down) this.remembered.set(keyOf(service, id), false);
    }
  }

  /** Its check had found it down before a restart. */
  wasDown(service: ServiceRecord, id: string): boolean {
    return this.down.has(checkKey(service, id));
  }

  /** The check of this endpoint, if it has one, comes now. */
  hurry(service: ServiceRecord, id: string): void {
    this.checks.hurry(checkKey(service, id));
  }

  /** Checks the endpoint as its service and its registry want it now, or no more. */
  watch(place: Place): void {
    const { service, record } = place;
    const health = healthOf(service, record);
    const key = checkKey(service, idOf(record));
    if (health === null || record.refused !== '') {
      this.unwatch(place);
      return;
    }
    this.byKey.set(key, place);
    // A check that is new must not take away what is in use before it has looked.
    const remembered = this.remembered.get(key);
    this.remembered.delete(key);
    if (remembered === false) this.down.add(key);
    for (const naming of record.merged.namings) {
      this.remembered.delete(checkKey(service, naming.id));
    }
    const isUp = remembered === true || (record.effective !== null && takesWork(record.effective));
    const { address, port, hostName } = record.merged.endpoint;
    const target = { address, port, ...(hostName === undefined ? {} : { hostName }) };
    this.checks.watch(key, health, { ...target, isUp, wasDown: remembered === false });
  }

  /** The endpoint is checked no more. */
  unwatch({ service, record }: Place): void {
    const key = checkKey(service, idOf(record));
    this.down.delete(key);
    if (this.byKey.delete(key)) this.checks.unwatch(key);
  }
}

/** The check of an endpoint: its service's, or else the one that it declares itself. */
function healthOf({ service }: ServiceRecord, record: EndpointRecord | undefined) {
  const own = record?.merged.endpoint.check;
  if (service.health !== null || own === undefined) return service.health;
  // How endpoints are spoken to is the service's to say.
  const { upstream } = service;
  const { sendProxy } = upstream;
  const host = own.type === 'http' ? givenHost(upstream.host) : '';
  if (own.tls === null && own.sendProxy === sendProxy && own.host === host) return own;
  const serverName = givenServerName(upstream);
  const tls = own.tls === null ? null : { ...(upstream.tls ?? own.tls), serverName };
  return { ...own, sendProxy, tls, host };
}

function checkKey(service: ServiceRecord, endpointId: string): string {
  return keyOf(service.name, endpointId);
}

/** Names of services hold no NUL. */
function keyOf(service: string, endpointId: string): string {
  return `${service}\0${endpointId}`;
}
