/**
 * First in, first out. Neither end moves what is between them, and the room stays: `shift` of an array, and
 * setting its length, leave V8's compiled code each time.
 */
export class Fifo<T> {
  private readonly list: (T | undefined)[] = [];
  private first = 0;
  private end = 0;

  get size(): number {
    return this.end - this.first;
  }

  push(one: T): void {
    this.list[this.end] = one;
    this.end += 1;
  }

  /** The one that goes next; undefined where there is none. */
  peek(): T | undefined {
    return this.first === this.end ? undefined : this.list[this.first];
  }

  shift(): T | undefined {
    const { list, first } = this;
    if (first === this.end) return undefined;
    const one = list[first];
    list[first] = undefined;
    this.first = first + 1;
    if (this.first === this.end) {
      this.first = 0;
      this.end = 0;
    }
    return one;
  }

  clear(): void {
    while (this.size > 0) this.shift();
  }

  /** All of them, which are taken out. */
  takeAll(): T[] {
    const all = this.list.slice(this.first, this.end) as T[];
    this.clear();
    return all;
  }
}
