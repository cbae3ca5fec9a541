// Things of strangers, by the address that they come from: taken one address after the other, and cut
// of the address that has the most.

export class ByAddress<T extends { readonly address: string }> {
  /** Addresses in the order of their turns; of each, the oldest first. None is empty. */
  private readonly groups = new Map<string, Set<T>>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** One that is in the list already is not added again. */
  add(one: T): void {
    const group = this.groups.get(one.address);
    if (group === undefined) this.groups.set(one.address, new Set([one]));
    else if (group.has(one)) return;
    else group.add(one);
    this.count += 1;
  }

  /** Whether it was there. */
  remove(one: T): boolean {
    const group = this.groups.get(one.address);
    if (group?.delete(one) !== true) return false;
    this.count -= 1;
    if (group.size === 0) this.groups.delete(one.address);
    return true;
  }

  /** How many this address has. */
  countOf(address: string): number {
    return this.groups.get(address)?.size ?? 0;
  }

  /**
   * The oldest of the address whose turn it is, of those that `may`; null where there is none. It stays in the
   * list, and its address is the last one then.
   */
  next(may: (address: string) => boolean = always): T | null {
    for (const [address, group] of this.groups) {
      if (!may(address)) continue;
      this.groups.delete(address);
      this.groups.set(address, group);
      for (const one of group) return one;
    }
    return null;
  }

  /** Whether one of the addresses `may`. */
  hasAddress(may: (address: string) => boolean): boolean {
    for (const address of this.groups.keys()) if (may(address)) return true;
    return false;
  }

  /** The oldest of the address that has the most; null where there are none. */
  heaviest(): T | null {
    let heaviest: Set<T> | null = null;
    for (const group of this.groups.values()) {
      if (heaviest === null || group.size > heaviest.size) heaviest = group;
    }
    for (const one of heaviest ?? []) return one;
    return null;
  }

  [Symbol.iterator](): Iterator<T> {
    return [...this.groups.values()].flatMap((group) => [...group]).values();
  }
}

function always(): boolean {
  return true;
}
