// Whether the one that gets the work of `db` is its primary: at most one does, in the table and in each
// worker; who is chosen has claimed it of late; and by checks it is exactly who says so (docs/tcp.md).
import type { ServiceView } from '../../../src/control/view.ts';
import type { CheckOutcome } from '../../../src/health/outcome.ts';
import { takesWork } from '../../../src/model/endpoint.ts';
import type { SnapshotDelta } from '../../../src/model/snapshot.ts';
import type { PrimaryBy } from './shape.ts';

/** An answer of the registry may be so old: a wait of it that got none, and a server behind the leader. */
const STALE_MS = 100_000;
/** So many good answers in a row make an endpoint one that works (`health.rise`). */
const RISE = 2;

export interface PrimaryJudgeOptions {
  readonly by: PrimaryBy;
  readonly nowMs: () => number;
  readonly fault: (text: string) => void;
  /** When it last claimed to be the primary; Infinity: it does. */
  readonly claimedMs: (id: string) => number;
  /** The table may be of a state file, which is as old as the last process. */
  readonly isOfFile: () => boolean;
}

export class PrimaryJudge {
  private readonly options: PrimaryJudgeOptions;
  /** What the last checks of each place came to, the youngest first. */
  private readonly outcomes = new Map<string, readonly CheckOutcome[]>();
  private chosen = '';

  constructor(options: PrimaryJudgeOptions) {
    this.options = options;
  }

  begin(): void {
    this.outcomes.clear();
    this.chosen = '';
  }

  onOutcome(place: string, outcome: CheckOutcome): void {
    const before = this.outcomes.get(place) ?? [];
    this.outcomes.set(place, [outcome, ...before].slice(0, RISE));
  }

  /** An endpoint is new in the table: its check begins. */
  onNew(place: string): void {
    this.outcomes.delete(place);
  }

  onApplied(worker: number, { upsert }: SnapshotDelta): void {
    for (const { service, endpoints } of upsert) {
      if (service.primary === null) continue;
      const working = endpoints.filter((one) => one !== undefined && takesWork(one));
      if (working.length < 2) continue;
      const ids = working.map(({ id }) => id).join(' and ');
      this.options.fault(`worker ${worker} has ${ids} as primary of ${service.name}`);
    }
  }

  look(view: ServiceView | null): void {
    const working = view?.endpoints.filter(takesWork) ?? [];
    if (working.length > 1) {
      this.options.fault(`${working.map(({ id }) => id).join(' and ')} are primary of db`);
    }
    const [one] = working;
    const before = this.chosen;
    this.chosen = one?.id ?? '';
    if (view === null || one === undefined) return;
    const { by } = this.options;
    if (by === 'tag' || by === 'lock') this.judgeClaim(one.id, before);
    else this.judgeChecks(view, `${one.address}:${one.port}`);
  }

  private judgeClaim(id: string, before: string): void {
    const { nowMs, fault, claimedMs, isOfFile } = this.options;
    if (id === before || isOfFile()) return;
    const ageMs = nowMs() - claimedMs(id);
    if (ageMs <= STALE_MS) return;
    fault(`${id} is chosen as primary, and has claimed it ${Math.round(ageMs / 1000)} s ago`);
  }

  private judgeChecks({ endpoints }: ServiceView, chosen: string): void {
    const lastOf = (place: string): readonly CheckOutcome[] => this.outcomes.get(place) ?? [];
    const saysSo = (outcome: CheckOutcome | undefined): boolean => outcome?.role === 'primary';
    const isSure = saysSo(lastOf(chosen)[0]);
    for (const { id, address, port } of endpoints) {
      const place = `${address}:${port}`;
      const last = lastOf(place);
      const isUp = last.length === RISE && last.every(({ isGood }) => isGood);
      if (place === chosen || !isUp || !saysSo(last[0])) continue;
      const why = isSure ? 'says so as well' : 'says so, and the other one does not';
      this.options.fault(`${chosen} gets the work of the primary of db: ${id} ${why}`);
    }
    const last = lastOf(chosen)[0];
    if (last?.role === 'replica') this.options.fault(`${chosen} gets work, and is a replica`);
  }
}
