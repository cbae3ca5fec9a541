// What each path of the stats port answers. It reads everything through StatsSources and changes
// things through the operator's door alone.
import type { IncomingMessage } from 'node:http';
import { safeLine } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import type { ServiceView } from '../control/view.ts';
import { type AccessSettings, addressOf, ReadAccess, type Refusal } from './access.ts';
import { commandOf, objection, readBody, refusal } from './admin.ts';
import { type CsvService, csvSteps } from './csv.ts';
import { EventStreams } from './event-streams.ts';
import { type FigureSources, figuresInSteps, figuresOfOne } from './figures.ts';
import { lineSteps, listSteps, plainSteps, recordSteps } from './json-steps.ts';
import { Live } from './live.ts';
import { Metrics } from './metrics.ts';
import { pageSteps } from './page.ts';
import type { PageModel, ShownService } from './page-model.ts';
import type { Pump } from './pump.ts';
import { Renderer } from './renderer.ts';
import {
  type Call,
  HTML,
  JSON_TYPE,
  PLAIN,
  sendError,
  sendJson,
  sendRendering,
  sendText,
} from './reply.ts';
import { Sampler } from './sampler.ts';
import type { StatsSources } from './sources.ts';
import { type Status, statusOf } from './status.ts';
import { type Sibling, Succession } from './succession.ts';

const EVENTS_SHOWN = 50;
const VIA_OURSELVES =
  'the request came through Upriver itself: its address is none to trust (use a token)';
const TOO_MANY = 'too many event streams are open';
/** Scripts and styles are our own files; nobody may frame the page around the buttons. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface StatsPortOptions {
  readonly access: AccessSettings;
  /** The process that handed its port over. */
  readonly takenFrom: Sibling | null;
  /** By which streams are sent. */
  readonly pump: Pump;
  /** Stops listening. */
  readonly release: () => void;
}

export class StatsPort {
  readonly succession: Succession;
  private readonly sources: StatsSources;
  private readonly access: AccessSettings;
  private readonly reading: ReadAccess;
  private readonly renderer: Renderer;
  private readonly takenFrom: Sibling | null;
  private readonly sampler: Sampler;
  private readonly scraper: Metrics;
  private readonly eventStreams: EventStreams;
  private readonly dashboards: Live;
  private readonly startedMs: number;

  constructor(sources: StatsSources, { access, takenFrom, release, pump }: StatsPortOptions) {
    const { clock, view } = sources;
    this.sources = sources;
    this.access = access;
    this.reading = new ReadAccess(access);
    this.renderer = new Renderer(clock);
    this.takenFrom = takenFrom;
    this.succession = new Succession({ access, release, wallMs: () => clock.wallMs() });
    this.sampler = new Sampler(sources);
    this.scraper = new Metrics(sources);
    this.eventStreams = new EventStreams(view.events, pump);
    this.dashboards = new Live({
      events: view.events,
      clock,
      model: () => this.modelSteps(),
      pump,
    });
    this.startedMs = clock.wallMs();
  }

  /** Ends every stream. */
  close(): void {
    this.sampler.close();
    this.eventStreams.close();
    this.dashboards.close();
  }

  /** Why this request may read nothing, or null. */
  readRefusal(request: IncomingMessage): Refusal | null {
    return this.reading.refusal(request);
  }

  /**
   * Why a request is not trusted for the address that it comes from, although that is this machine's;
   * or null. A service may lead here by a name, an address or a port that we know nothing of.
   */
  async viaOurselves(call: Call): Promise<Refusal | null> {
    const { request, connection } = call;
    const isChange = request.method === 'POST';
    const relies = isChange ? this.access.adminToken === '' : this.reading.reliesOnAddress(request);
    const { ownerOfPeer } = this.sources;
    if (!relies || ownerOfPeer === undefined) return null;
    const owner = await connection.ownerBy(ownerOfPeer);
    return owner === 'other' ? null : { status: 403, error: VIA_OURSELVES };
  }

  redirect({ response }: Call): void {
    response.writeHead(302, { location: '/stats', 'content-length': 0 }).end();
  }

  page(call: Call): Promise<void> {
    // That a link of another site led here does not matter: the buttons ask for themselves.
    const mayOperate = objection(call.request, this.access) === '';
    call.response.setHeader('content-security-policy', POLICY);
    call.response.setHeader('referrer-policy', 'no-referrer');
    return this.render(call, `page ${mayOperate}`, () => ({
      type: HTML,
      text: this.pageSteps(mayOperate),
    }));
  }

  async live(call: Call): Promise<void> {
    if (!this.dashboards.hasPlaceFor(call.response)) return sendError(call, 503, TOO_MANY);
    const first = await this.renderer.take('live', () => ({
      type: 'text/event-stream',
      text: this.dashboards.first(),
    }));
    if (call.response.destroyed) return;
    call.hold();
    if (!this.dashboards.add(call.response, first.parts)) return sendError(call, 503, TOO_MANY);
  }

  csv(call: Call): Promise<void> {
    return this.render(call, 'csv', () => ({ type: PLAIN, text: this.csvSteps() }));
  }

  metrics(call: Call): Promise<void> {
    const isOpen = /\bapplication\/openmetrics-text\b/.test(call.request.headers.accept ?? '');
    const format = isOpen ? 'openmetrics' : 'prometheus';
    return this.render(call, `metrics ${format}`, () => this.scraper.body(format));
  }

  health(call: Call): Promise<void> {
    const { ok, reason } = this.sources.liveness();
    return sendText(call, ok ? 200 : 503, ok ? 'ok\n' : `${safeLine(reason)}\n`);
  }

  ready(call: Call): Promise<void> {
    const { ready, reason } = this.sources.readiness();
    const told = reason === '' ? 'ready' : `ready: ${reason}`;
    return sendText(call, ready ? 200 : 503, `${safeLine(ready ? told : reason)}\n`);
  }

  status(call: Call): Promise<void> {
    return sendJson(call, 200, this.statusNow());
  }

  services(call: Call): Promise<void> {
    return this.render(call, 'services', () => ({ type: JSON_TYPE, text: this.servicesSteps() }));
  }

  service(call: Call, [name = '']: readonly string[]): Promise<void> {
    const view = this.sources.view.service(name);
    return view === null
      ? sendError(call, 404, `no service '${name}'`)
      : this.render(call, `service ${name}`, () => ({
          type: JSON_TYPE,
          text: this.serviceSteps(view),
        }));
  }

  events(call: Call): Promise<void> | void {
    const { events } = this.sources.view;
    if (call.query.get('format') === 'json') {
      const text = () => lineSteps(listSteps(events.since(0), plainSteps));
      return this.render(call, 'events', () => ({ type: JSON_TYPE, text: text() }));
    }
    const given = call.request.headers['last-event-id'];
    const lastId = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : null;
    call.hold();
    if (!this.eventStreams.add(call.response, lastId)) return sendError(call, 503, TOO_MANY);
  }

  async change(call: Call, [service = '', endpoint = '', verb = '']: readonly string[]) {
    const why = refusal(call.request, this.access);
    if (why !== '') return sendError(call, 403, why);
    const body = await readBody(call.request);
    if (body === null) return sendError(call, 413, 'the body is larger than any change');
    const command = commandOf(verb, body, call.query);
    if (typeof command === 'string') return sendError(call, 400, command);
    const error = this.sources.operate(service, endpoint, command);
    if (error !== '') return sendError(call, 404, error);
    const fields = { service, endpoint, from: addressOf(call.request.socket), ...command };
    this.sources.log.info(fields, 'changed by the operator');
    return sendJson(call, 200, { ok: true, endpoint: this.endpoint(service, endpoint) });
  }

  private async render(call: Call, key: string, make: Parameters<Renderer['take']>[1]) {
    return sendRendering(call, 200, await this.renderer.take(key, make));
  }

  private statusNow(): Status {
    const { takenFrom, startedMs, succession } = this;
    return statusOf(this.sources, { startedMs, takenFrom, successor: succession.successor });
  }

  private endpoint(service: string, id: string) {
    const view = this.sources.view.service(service);
    return view === null ? null : figuresOfOne(view, id, this.figureSources);
  }

  private get figureSources(): FigureSources {
    const { ledger, clock } = this.sources;
    return { ledger, sampler: this.sampler, nowMs: clock.wallMs() };
  }

  private *pageSteps(mayOperate: boolean): Steps {
    yield* pageSteps(yield* this.modelSteps(), mayOperate);
  }

  private *csvSteps(): Steps {
    const { view, clock } = this.sources;
    const services: CsvService[] = [];
    for (const one of view.services()) {
      services.push({ view: one, figures: yield* figuresInSteps(one, this.figureSources) });
    }
    yield* csvSteps(services, clock.wallMs());
  }

  private *servicesSteps(): Steps {
    const write = (view: ServiceView, indent: string) => this.recordOf(view, indent);
    yield* lineSteps(listSteps(this.sources.view.services(), write));
  }

  private *serviceSteps(view: ServiceView): Steps {
    yield* lineSteps(this.recordOf(view, ''));
  }

  private *recordOf(view: ServiceView, indent: string): Steps {
    const figures = yield* figuresInSteps(view, this.figureSources);
    yield* recordSteps(figures, ['endpoints', figures.endpoints], indent);
  }

  private *modelSteps(): Steps<PageModel> {
    const { view, clock } = this.sources;
    const services: ShownService[] = [];
    for (const one of view.services()) {
      const { trend } = this.sampler.known(one.service.name, one.slot);
      services.push({ figures: yield* figuresInSteps(one, this.figureSources), trend });
    }
    return {
      status: this.statusNow(),
      services,
      events: view.events.since(0).slice(-EVENTS_SHOWN).reverse(),
      nowMs: clock.wallMs(),
    };
  }
}
