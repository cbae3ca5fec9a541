// How the suite of registries asks: plain HTTP, with the answers as Consul's API describes them.
import { expect } from 'vitest';

/** What a suite is given: where the registry under test is, once it runs. */
export type Registry = () => { readonly url: string };

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** X-Consul-Index; 0 without. */
  readonly index: number;
  /** The body as JSON; null where it is empty. */
  readonly json: unknown;
}

export interface CheckAnswer {
  readonly Node: string;
  readonly CheckID: string;
  readonly Name: string;
  readonly Status: string;
  readonly Notes: string;
  readonly Output: string;
  readonly ServiceID: string;
  readonly ServiceName: string;
}

export interface HealthAnswer {
  readonly Node: { readonly Node: string; readonly Address: string };
  readonly Service: {
    readonly ID: string;
    readonly Service: string;
    readonly Tags: readonly string[];
    readonly Address: string;
    readonly Port: number;
    readonly Meta: Readonly<Record<string, string>> | null;
    readonly Weights: { readonly Passing: number; readonly Warning: number };
  };
  readonly Checks: readonly CheckAnswer[];
}

export interface CatalogAnswer {
  readonly Node: string;
  readonly Address: string;
  readonly ServiceID: string;
  readonly ServiceName: string;
  readonly ServiceAddress: string;
  readonly ServicePort: number;
  readonly ServiceTags: readonly string[];
  readonly ServiceMeta: Readonly<Record<string, string>>;
  readonly ServiceWeights: { readonly Passing: number; readonly Warning: number };
}

export interface KeyAnswer {
  readonly Key: string;
  readonly Value: string | null;
  readonly Flags: number;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
  readonly LockIndex: number;
}

let names = 0;

/** A name that no other test of this run uses. */
export function unique(prefix: string): string {
  names += 1;
  return `${prefix}-${process.pid}-${names}`;
}

export class RegistryClient {
  private readonly registry: Registry;

  constructor(registry: Registry) {
    this.registry = registry;
  }

  get(path: string): Promise<Answer> {
    return this.ask('GET', path);
  }

  /** Objects are sent as JSON, texts as they are. */
  put(path: string, body?: unknown): Promise<Answer> {
    return this.ask('PUT', path, body);
  }

  async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(this.registry().url + path, {
      method,
      ...(body === undefined ? {} : { body: text }),
    });
    return answerOf(response.status, response.headers, await response.text());
  }

  async register(definition: Readonly<Record<string, unknown>>): Promise<void> {
    const answer = await this.put('/v1/agent/service/register', definition);
    expect(answer, answer.text).toMatchObject({ status: 200, text: '' });
  }

  async deregister(id: string): Promise<void> {
    expect(await this.put(`/v1/agent/service/deregister/${id}`)).toMatchObject({ status: 200 });
  }

  async health(name: string, query = ''): Promise<readonly HealthAnswer[]> {
    const answer = await this.get(`/v1/health/service/${name}${query}`);
    expect(answer, answer.text).toMatchObject({ status: 200 });
    return answer.json as HealthAnswer[];
  }

  /** Asks by blocking queries until the instances of a service satisfy `isTrue`. */
  async untilHealth(
    name: string,
    isTrue: (entries: readonly HealthAnswer[]) => boolean,
  ): Promise<readonly HealthAnswer[]> {
    const path = `/v1/health/service/${name}`;
    const answer = await this.until(path, ({ json }) => isTrue(json as HealthAnswer[]));
    return answer.json as HealthAnswer[];
  }

  /** Waits until so many instances are in the catalog: an agent tells it a little later. */
  untilCount(name: string, count: number): Promise<readonly HealthAnswer[]> {
    return this.untilHealth(name, ({ length }) => length === count);
  }

  async until(path: string, isTrue: (answer: Answer) => boolean): Promise<Answer> {
    const joint = path.includes('?') ? '&' : '?';
    let index = 0;
    for (;;) {
      const answer = await this.get(`${path}${joint}index=${index}&wait=5s`);
      if (isTrue(answer)) return answer;
      index = answer.index;
    }
  }

  /** The status of one check of one instance, as soon as it is the wanted one. */
  async untilStatus(name: string, checkId: string, status: string): Promise<CheckAnswer> {
    const find = (entries: readonly HealthAnswer[]) =>
      entries.flatMap(({ Checks }) => Checks).find((check) => check.CheckID === checkId);
    return find(await this.untilHealth(name, (entries) => find(entries)?.Status === status))!;
  }
}

function answerOf(status: number, headers: Headers, text: string): Answer {
  const isJson = headers.get('content-type')?.startsWith('application/json') ?? false;
  const json: unknown = isJson && text !== '' ? JSON.parse(text) : null;
  return { status, text, headers, index: Number(headers.get('x-consul-index') ?? 0), json };
}
