// What operators said of endpoints. It is kept by name and not with the endpoint, so that one which
// leaves the registry and comes back is what the operator made it, while the process lives.

/** What an operator said of an endpoint; it stays until the operator takes it back. */
export interface OperatorWord {
  readonly state: 'ready' | 'drain' | 'maint';
  /** Replaces the registry's weight; null leaves it. */
  readonly weight: number | null;
}

export type OperatorCommand =
  | { readonly kind: 'drain' | 'ready' | 'maint' }
  | { readonly kind: 'weight'; readonly weight: number };

const NOTHING_SAID: OperatorWord = { state: 'ready', weight: null };

export class OperatorWords {
  /** By service, then by endpoint id. */
  private readonly words = new Map<string, Map<string, OperatorWord>>();

  /** Null where the operator said nothing that still holds. */
  get(service: string, endpointId: string): OperatorWord | null {
    return this.words.get(service)?.get(endpointId) ?? null;
  }

  /** Takes a command: a weight leaves the state as it is, and the other way round. */
  say(service: string, endpointId: string, command: OperatorCommand): void {
    const before = this.get(service, endpointId) ?? NOTHING_SAID;
    const word: OperatorWord =
      command.kind === 'weight'
        ? { ...before, weight: command.weight }
        : { ...before, state: command.kind };
    const ofService = this.words.get(service) ?? new Map<string, OperatorWord>();
    if (word.state === 'ready' && word.weight === null) ofService.delete(endpointId);
    else ofService.set(endpointId, word);
    if (ofService.size === 0) this.words.delete(service);
    else this.words.set(service, ofService);
  }
}
