// Registers in Consul's catalog, at the agent of this host. Out of service is Consul's maintenance
// mode, with a reason that says who set it: one that an operator set is left alone.

import { type Fields, fieldsOf, textOf } from '../base/foreign.ts';
import type { Logger } from '../base/log.ts';
import { encodeSegment } from '../base/path-text.ts';
import { type ConsulApi, ConsulRefusal } from './consul-api.ts';
import { consulRegistration, unfitCheck, unfitMeta } from './consul-registration.ts';
import { unfitService } from './fitness.ts';
import type { Registered, Registration, Registry } from './registry.ts';

/** How reasons of maintenance begin that were set here. */
const OWN = 'upriver: container is ';
const MAINTENANCE = '_service_maintenance:';
/** An agent answers so where a service is not passing. */
const HEALTH_STATUSES = [429, 503];

export class ConsulRegistry implements Registry {
  private readonly api: ConsulApi;
  private readonly log: Logger;
  /** Ids known not to be in a maintenance of ours. Any other may be: suspended here, or not looked at yet. */
  private readonly settled = new Set<string>();
  private readonly warned = new Set<string>();

  constructor(api: ConsulApi, log: Logger) {
    this.api = api;
    this.log = log;
  }

  get label(): string {
    return `consul ${this.api.address}`;
  }

  unfit(service: Registration): string {
    return unfitService(service);
  }

  ping(signal: AbortSignal): Promise<void> {
    return this.api.ping(signal);
  }

  async register(service: Registration, signal: AbortSignal): Promise<void> {
    const { id } = service;
    this.warnOf(service);
    const body = JSON.stringify(consulRegistration(service));
    await this.api.call({ method: 'PUT', path: '/v1/agent/service/register', body, signal });
    if (this.settled.has(id)) return;
    if (await this.isInOwnMaintenance(id, signal))
      await this.maintain(id, { enable: false, signal });
    this.settled.add(id);
  }

  async deregister({ id }: Pick<Registration, 'id'>, signal: AbortSignal): Promise<void> {
    this.settled.delete(id);
    const path = `/v1/agent/service/deregister/${encodeSegment(id)}`;
    try {
      await this.api.call({ method: 'PUT', path, signal });
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
  }

  async suspend({ id }: Registration, reason: string, signal: AbortSignal): Promise<void> {
    this.settled.delete(id);
    try {
      await this.maintain(id, { enable: true, reason: `${OWN}${reason}`, signal });
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
  }

  /** Consul's catalog has no time to live; a check may have one, which its service itself keeps. */
  refresh(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async list(signal: AbortSignal): Promise<Registered[]> {
    const [services, checks] = await Promise.all([
      this.api.json('/v1/agent/services', signal),
      this.api.json('/v1/agent/checks', signal),
    ]);
    const inMaintenance = new Set(
      valuesOf(checks).flatMap((check) =>
        isOwnMaintenance(check) ? [textOf(check.ServiceID)] : [],
      ),
    );
    return valuesOf(services).flatMap(({ ID, Service }) => {
      const id = textOf(ID);
      return id === '' ? [] : [{ id, name: textOf(Service), isSuspended: inMaintenance.has(id) }];
    });
  }

  close(): Promise<void> {
    return this.api.close();
  }

  private async isInOwnMaintenance(id: string, signal: AbortSignal): Promise<boolean> {
    const path = `/v1/agent/health/service/id/${encodeSegment(id)}`;
    const health = await this.api.json(path, signal, HEALTH_STATUSES);
    const checks = fieldsOf(health).Checks;
    return Array.isArray(checks) && checks.some((check) => isOwnMaintenance(fieldsOf(check)));
  }

  private async maintain(
    id: string,
    { enable, reason = '', signal }: { enable: boolean; reason?: string; signal: AbortSignal },
  ): Promise<void> {
    const query = new URLSearchParams({ enable: String(enable), ...(enable ? { reason } : {}) });
    const path = `/v1/agent/service/maintenance/${encodeSegment(id)}?${query}`;
    await this.api.call({ method: 'PUT', path, signal });
  }

  private warnOf(service: Registration): void {
    const keys = unfitMeta(service);
    const check = unfitCheck(service);
    if ((keys.length === 0 && check === '') || this.warned.has(service.id)) return;
    this.warned.add(service.id);
    if (check !== '') this.log.warn({ id: service.id }, `registered without that check: ${check}`);
    if (keys.length === 0) return;
    this.log.warn(
      { id: service.id, keys },
      'Consul takes no such keys or values as Meta: left out',
    );
  }
}

function isOwnMaintenance(check: Fields): boolean {
  return textOf(check.CheckID).startsWith(MAINTENANCE) && textOf(check.Notes).startsWith(OWN);
}

/** There is no such service at this agent: 404, or 500 in older versions. */
function isUnknown(error: unknown): boolean {
  if (!(error instanceof ConsulRefusal)) return false;
  return error.status === 404 || /unknown service|does not exist/i.test(error.message);
}

function valuesOf(value: unknown): Fields[] {
  return Object.values(fieldsOf(value)).map(fieldsOf);
}
